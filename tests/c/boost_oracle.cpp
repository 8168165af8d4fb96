// Boost.Random itself: reads "kind type seed a b n" lines, writes each one's n values and the next draw as bytes.
#include <boost/random/bernoulli_distribution.hpp>
#include <boost/random/mersenne_twister.hpp>
#include <boost/random/normal_distribution.hpp>
#include <boost/random/uniform_real_distribution.hpp>
#include <boost/random/variate_generator.hpp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

template <class R, class D> static void draw(boost::mt19937 &engine, D distribution, std::size_t n) {
    boost::variate_generator<boost::mt19937 &, D> next(engine, distribution);
    std::vector<R> out(n);
    for (R &value : out)
        value = static_cast<R>(next());
    std::fwrite(out.data(), sizeof(R), n, stdout);
}

template <class R> static void run(const char *kind, std::uint32_t seed, double a, double b, std::size_t n) {
    boost::mt19937 engine(seed);
    if (!std::strcmp(kind, "uniform"))
        draw<R>(engine, boost::random::uniform_real_distribution<R>(R(a), R(b)), n);
    else if (!std::strcmp(kind, "gaussian"))
        draw<R>(engine, boost::random::normal_distribution<R>(R(a), R(b)), n);
    else
        draw<R>(engine, boost::random::bernoulli_distribution<R>(R(a)), n);
    std::uint32_t following = engine();
    std::fwrite(&following, sizeof following, 1, stdout);
}

int main() {
    char kind[16], type[16];
    unsigned long seed;
    char a[64], b[64];
    std::size_t n;
    while (std::scanf("%15s %15s %lu %63s %63s %zu", kind, type, &seed, a, b, &n) == 6) {
        if (!std::strcmp(type, "float"))
            run<float>(kind, seed, std::strtod(a, nullptr), std::strtod(b, nullptr), n);
        else
            run<double>(kind, seed, std::strtod(a, nullptr), std::strtod(b, nullptr), n);
    }
}
