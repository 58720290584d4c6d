#include "deploy/launch/bench_plot.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "common/base/status.h"
#include "deploy/launch/run_directory.h"
#include "nlohmann/json.hpp"

namespace terse {
namespace {

constexpr double kWidth = 860, kHeight = 480;
constexpr double kLeft = 80, kRight = 250, kTop = 50, kBottom = 60;

// Told apart by people who see few colours, too (Okabe and Ito 2008).
constexpr std::array<const char*, 8> kColours = {
    "#0072b2", "#d55e00", "#009e73", "#cc79a7",
    "#e69f00", "#56b4e9", "#000000", "#999999"};

std::string Escaped(const std::string& text) {
  return absl::StrReplaceAll(text,
                             {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}});
}

std::string SizeName(double bytes) {
  constexpr std::array<const char*, 4> kUnits = {"", "K", "M", "G"};
  size_t unit = 0;
  while (bytes >= 1024 && unit + 1 < kUnits.size()) {
    bytes /= 1024;
    ++unit;
  }
  return absl::StrFormat("%g%s", bytes, kUnits[unit]);
}

// A logarithmic axis from whole powers of its base.
struct Axis {
  double base, low, high, begin, end;

  Axis(double base, double min, double max, double begin, double end)
      : base(base),
        low(std::floor(std::log(min) / std::log(base) + 1e-9)),
        high(std::ceil(std::log(max) / std::log(base) - 1e-9)),
        begin(begin),
        end(end) {
    if (high <= low) high = low + 1;
  }
  double At(double value) const {
    const double share =
        (std::log(value) / std::log(base) - low) / (high - low);
    return begin + share * (end - begin);
  }
};

std::string Text(double x, double y, const char* anchor,
                 const std::string& text, const char* more = "") {
  return absl::StrFormat(
      "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" %s>%s</text>\n", x, y,
      anchor, more, Escaped(text));
}

std::string GridLine(double x1, double y1, double x2, double y2,
                     const char* colour) {
  return absl::StrFormat(
      "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>\n",
      x1, y1, x2, y2, colour);
}

std::string Axes(const Plot& plot, const Axis& x, const Axis& y) {
  std::string svg;
  for (double power = x.low; power <= x.high; ++power) {
    const double value = std::pow(x.base, power);
    svg += GridLine(x.At(value), y.begin, x.At(value), y.end, "#ddd");
    svg += Text(x.At(value), y.begin + 18, "middle",
                plot.x_bytes ? SizeName(value) : absl::StrFormat("%g", value));
  }
  for (double power = y.low; power <= y.high; ++power) {
    for (const double digit : {1.0, 2.0, 5.0}) {
      const double value = digit * std::pow(10, power);
      if (value > std::pow(10, y.high) * 1.001) break;
      svg += GridLine(x.begin, y.At(value), x.end, y.At(value), "#ddd");
      svg += Text(x.begin - 8, y.At(value) + 4, "end",
                  absl::StrFormat("%g", value));
    }
  }
  svg += GridLine(x.begin, y.begin, x.end, y.begin, "#333");
  svg += GridLine(x.begin, y.begin, x.begin, y.end, "#333");
  svg += Text((x.begin + x.end) / 2, y.begin + 42, "middle", plot.x_label);
  svg += Text(20, (y.begin + y.end) / 2, "middle", plot.y_label,
              absl::StrFormat("transform=\"rotate(-90 20 %.1f)\"",
                              (y.begin + y.end) / 2)
                  .c_str());
  return svg;
}

std::string Lines(const Plot& plot, const Axis& x, const Axis& y) {
  std::string svg;
  for (size_t s = 0; s < plot.series.size(); ++s) {
    const PlotSeries& series = plot.series[s];
    const char* colour = kColours[s % kColours.size()];
    // A second round of colours is dashed.
    const char* dash = s < kColours.size() ? "" : "stroke-dasharray=\"6 4\"";
    std::string points, marks;
    for (const auto& [px, py] : series.points) {
      absl::StrAppendFormat(&points, "%.1f,%.1f ", x.At(px), y.At(py));
      absl::StrAppendFormat(
          &marks, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n",
          x.At(px), y.At(py), colour);
    }
    absl::StrAppendFormat(&svg,
                          "<polyline points=\"%s\" fill=\"none\" stroke=\"%s\" "
                          "stroke-width=\"2\" %s/>\n%s",
                          points, colour, dash, marks);
    const double row = kTop + 10 + 20 * static_cast<double>(s);
    absl::StrAppendFormat(
        &svg,
        "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" "
        "stroke=\"%s\" stroke-width=\"2\" %s/>\n",
        x.end + 15, row, x.end + 40, row, colour, dash);
    svg += Text(x.end + 46, row + 4, "start", series.name);
  }
  return svg;
}

std::string Marks(const Plot& plot, const Axis& x, const Axis& y) {
  std::string svg;
  for (size_t m = 0; m < plot.marks.size(); ++m) {
    const PlotMark& mark = plot.marks[m];
    const char* colour = kColours[mark.series % kColours.size()];
    const double at = x.At(mark.x);
    absl::StrAppendFormat(
        &svg,
        "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" "
        "stroke=\"%s\" stroke-dasharray=\"2 4\"/>\n",
        at, y.begin, at, y.end, colour);
    // One under the other, so that near ones can be read.
    const double row = kTop + 12 + 14 * static_cast<double>(m % 8);
    svg +=
        Text(at - 4, row, "end", mark.name,
             absl::StrFormat("fill=\"%s\" font-size=\"10\"", colour).c_str());
  }
  return svg;
}

}  // namespace

std::string PlotSvg(const Plot& plot) {
  double x_min = 1e300, x_max = 0, y_min = 1e300, y_max = 0;
  for (const PlotSeries& series : plot.series) {
    for (const auto& [px, py] : series.points) {
      x_min = std::min(x_min, px);
      x_max = std::max(x_max, px);
      y_min = std::min(y_min, py);
      y_max = std::max(y_max, py);
    }
  }
  if (x_max <= 0) x_min = x_max = y_min = y_max = 1;
  const Axis x(plot.x_bytes ? 2 : 10, x_min, x_max, kLeft, kWidth - kRight);
  const Axis y(10, y_min, y_max, kHeight - kBottom, kTop);
  return absl::StrCat(
      absl::StrFormat("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%g\" "
                      "height=\"%g\" font-family=\"sans-serif\" "
                      "font-size=\"12\">\n<rect width=\"100%%\" "
                      "height=\"100%%\" fill=\"white\"/>\n",
                      kWidth, kHeight),
      Text(kLeft, 28, "start", plot.title,
           "font-size=\"16\" font-weight=\"bold\""),
      Axes(plot, x, y), Lines(plot, x, y), Marks(plot, x, y), "</svg>\n");
}

void AddBenchPlot(CLI::App& bench, BenchPlotOptions& options) {
  CLI::App& plot = *bench.add_subcommand(
      "plot",
      "Draws what terse bench comm --json wrote, bandwidth over size, or terse "
      "bench advise --json, step time over link rate");
  plot.add_option("files", options.files,
                  "JSON of terse bench comm or of terse bench advise")
      ->required()
      ->type_name("FILE...");
  plot.add_option("-o,--output", options.output, "The picture")
      ->type_name("FILE.svg")
      ->capture_default_str();
}

namespace {

absl::Status BadFile(const std::string& path) {
  return WithExitCode(
      absl::DataLossError(path + " is no JSON of terse bench comm or advise, "
                                 "or of another than the files before"),
      ExitCode::kBadData);
}

// The curves of advice, and where they cross fp32's.
absl::Status AddAdvice(const nlohmann::json& advice, const std::string& path,
                       Plot& plot) {
  try {
    for (const nlohmann::json& row : advice.at("codecs")) {
      const auto name = row.at("codec").get<std::string>();
      PlotSeries& series = plot.series.emplace_back();
      series.name = name;
      for (const nlohmann::json& point : row.at("curve")) {
        const double gbit = point.at("gbit"), ms = point.at("step_ms");
        if (gbit > 0 && ms > 0) series.points.emplace_back(gbit, ms);
      }
      const nlohmann::json& below = row.at("pays_below_gbit_fp32");
      if (series.points.empty() || !below.is_number()) continue;
      const double rate = below;
      if (rate <= series.points.front().first ||
          rate >= series.points.back().first) {
        continue;
      }
      plot.marks.push_back({.x = rate,
                            .series = plot.series.size() - 1,
                            .name = absl::StrFormat("%.3g", rate)});
    }
  } catch (const nlohmann::json::exception&) {
    return BadFile(path);
  }
  return absl::OkStatus();
}

absl::Status AddSeries(const std::string& path, bool advice, Plot& plot) {
  TERSE_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  const nlohmann::json bench = nlohmann::json::parse(text, nullptr, false);
  const absl::Status bad = BadFile(path);
  if (!bench.is_object()) return bad;
  if (advice) return AddAdvice(bench, path, plot);
  if (!bench.contains("results")) return bad;
  try {
    const nlohmann::json& config = bench.at("config");
    for (const nlohmann::json& row : bench.at("results")) {
      const std::string name =
          absl::StrCat(row.at("codec").get<std::string>(), ", ",
                       config.at("transport").get<std::string>(), " ",
                       config.at("pattern").get<std::string>());
      if (plot.series.empty() || plot.series.back().name != name) {
        plot.series.push_back({.name = name, .points = {}});
      }
      const double size = row.at("size"), speed = row.at("bus_bw");
      if (size > 0 && speed > 0) {
        plot.series.back().points.emplace_back(size, speed);
      }
    }
  } catch (const nlohmann::json::exception&) {
    return bad;
  }
  return absl::OkStatus();
}

}  // namespace

namespace {

bool IsAdvice(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return false;
  const nlohmann::json json = nlohmann::json::parse(*text, nullptr, false);
  return json.is_object() && json.value("kind", "") == "advice";
}

}  // namespace

int RunBenchPlot(const BenchPlotOptions& options) {
  const bool advice = IsAdvice(options.files.front());
  Plot plot{.title = "What a worker exchanges, as fp32 would",
            .x_label = "tensors under way, bytes of fp32",
            .y_label = "GB/s (busbw)",
            .x_bytes = true,
            .series = {}};
  if (advice) {
    plot = {.title = "A step, and below which rates codecs pay against fp32",
            .x_label = "rate of a host's link, Gbit/s",
            .y_label = "ms a step, predicted",
            .series = {}};
  }
  absl::Status status;
  for (const std::string& file : options.files) {
    status.Update(AddSeries(file, advice, plot));
  }
  if (status.ok()) status = WriteFile(options.output, PlotSvg(plot));
  if (status.ok()) return 0;
  absl::FPrintF(stderr, "terse: %s\n", status.message());
  return int(ExitCodeOf(status));
}

}  // namespace terse
