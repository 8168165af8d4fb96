// What Caffe itself does to fill an array: one Boost call per value.
//     boost_fill KIND TYPE N RUNS: the best of some runs, in nanoseconds; of 0 runs, the values themselves.
#include <boost/random/mersenne_twister.hpp>
#include <boost/random/normal_distribution.hpp>
#include <boost/random/uniform_01.hpp>
#include <boost/random/uniform_real_distribution.hpp>
#include <boost/random/variate_generator.hpp>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

// The normal distribution of Boost 1.47 .. 1.55, which later ones dropped: Box-Muller, whose sine waits for the next
// call.
template <class R> struct BoxMuller {
    typedef R input_type, result_type;
    R first, second, rho;
    bool waiting;

    BoxMuller() : waiting(false) {}
    template <class Engine> R operator()(Engine &engine) {
        const R two_pi = R(2) * R(3.14159265358979323846);
        waiting = !waiting;
        if (!waiting)
            return rho * std::sin(two_pi * first) * R(1) + R(0);
        boost::uniform_01<R> unit;
        first = unit(engine);
        second = unit(engine);
        rho = std::sqrt(-R(2) * std::log(R(1) - second));
        return rho * std::cos(two_pi * first) * R(1) + R(0);
    }
};

template <class R, class D> static void run(D distribution, std::size_t n, int runs) {
    boost::mt19937 engine(1701);
    boost::variate_generator<boost::mt19937 &, D> next(engine, distribution);
    std::vector<R> out(n);
    double least = 1e300;
    for (int i = 0; i < (runs ? runs : 1); ++i) {
        auto began = std::chrono::steady_clock::now();
        for (R &value : out)
            value = next();
        std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - began;
        least = took.count() < least ? took.count() : least;
    }
    if (runs)
        std::printf("%.0f\n", least);
    else
        std::fwrite(out.data(), sizeof(R), n, stdout);
}

template <class R> static void choose(const char *kind, std::size_t n, int runs) {
    if (!std::strcmp(kind, "uniform"))
        run<R>(boost::random::uniform_real_distribution<R>(-1, 1), n, runs);
    else if (!std::strcmp(kind, "gaussian"))
        run<R>(boost::random::normal_distribution<R>(0, 1), n, runs);
    else
        run<R>(BoxMuller<R>(), n, runs);
}

int main(int argc, char **argv) {
    if (argc != 5)
        return 2;
    std::size_t n = std::strtoull(argv[3], nullptr, 10);
    int runs = std::atoi(argv[4]);
    if (std::strcmp(argv[2], "float32"))
        choose<double>(argv[1], n, runs);
    else
        choose<float>(argv[1], n, runs);
}
