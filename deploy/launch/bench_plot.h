// `terse bench plot`: pictures of what `terse bench comm` and `terse bench
// advise` found.
#ifndef TERSE_DEPLOY_LAUNCH_BENCH_PLOT_H_
#define TERSE_DEPLOY_LAUNCH_BENCH_PLOT_H_

#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"

namespace terse {

struct PlotSeries {
  std::string name;
  std::vector<std::pair<double, double>> points;  // x ascending, all above 0.
};

// A line down the picture.
struct PlotMark {
  double x = 0;
  size_t series = 0;  // Whose colour it has.
  std::string name;
};

struct Plot {
  std::string title;
  std::string x_label;
  std::string y_label;
  bool x_bytes = false;  // x are sizes, powers of 2.
  std::vector<PlotSeries> series;
  std::vector<PlotMark> marks = {};
};

// A picture of lines over logarithmic axes.
std::string PlotSvg(const Plot& plot);

struct BenchPlotOptions {
  std::vector<std::string> files;
  std::string output = "plot.svg";
};

// Adds `plot` to `bench`; parsing fills `options`, which must live as long.
void AddBenchPlot(CLI::App& bench, BenchPlotOptions& options);

// Draws bus bandwidth over size, a line for each file and codec; of advice, the
// step's time over the link's rate, a line for each codec, and the rates below
// which each pays against fp32.
int RunBenchPlot(const BenchPlotOptions& options);

}  // namespace terse

#endif  // TERSE_DEPLOY_LAUNCH_BENCH_PLOT_H_
