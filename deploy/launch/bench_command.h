// The command line of `terse bench`.
#ifndef TERSE_DEPLOY_LAUNCH_BENCH_COMMAND_H_
#define TERSE_DEPLOY_LAUNCH_BENCH_COMMAND_H_

#include "CLI/CLI.hpp"
#include "deploy/launch/bench_codec.h"

namespace terse {

// Adds `bench codec` to `app`; parsing fills `options`, which must live as long
// as `app`.
CLI::App& AddBench(CLI::App& app, BenchCodecOptions& options);

}  // namespace terse

#endif  // TERSE_DEPLOY_LAUNCH_BENCH_COMMAND_H_
