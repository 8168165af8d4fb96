// What Caffe itself does to fill an array: one Boost call per value. Prints the best of some runs, in nanoseconds.
#include <boost/random/mersenne_twister.hpp>
#include <boost/random/normal_distribution.hpp>
#include <boost/random/uniform_real_distribution.hpp>
#include <boost/random/variate_generator.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

template <class R, class D> static double best(D distribution, std::size_t n, int runs) {
    boost::mt19937 engine(1701);
    boost::variate_generator<boost::mt19937 &, D> next(engine, distribution);
    std::vector<R> out(n);
    double least = 1e300;
    for (int run = 0; run < runs; ++run) {
        auto began = std::chrono::steady_clock::now();
        for (R &value : out)
            value = next();
        std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - began;
        least = took.count() < least ? took.count() : least;
    }
    return least;
}

template <class R> static double run(const char *kind, std::size_t n, int runs) {
    if (!std::strcmp(kind, "uniform"))
        return best<R>(boost::random::uniform_real_distribution<R>(-1, 1), n, runs);
    return best<R>(boost::random::normal_distribution<R>(0, 1), n, runs);
}

int main(int argc, char **argv) {
    if (argc != 5)
        return 2;
    std::size_t n = std::strtoull(argv[3], nullptr, 10);
    int runs = std::atoi(argv[4]);
    std::printf("%.0f\n",
                std::strcmp(argv[2], "float32") ? run<double>(argv[1], n, runs) : run<float>(argv[1], n, runs));
}
