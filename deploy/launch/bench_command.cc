#include "deploy/launch/bench_command.h"

namespace terse {
namespace {

void AddSizes(CLI::App& codec, BenchCodecOptions& options) {
  codec
      .add_option("-b,--minbytes", options.min_bytes,
                  "Smallest fp32 input; K, M, G are powers of 1024 (64M)")
      ->type_name("SIZE");
  codec.add_option("-e,--maxbytes", options.max_bytes, "Largest (64M)")
      ->type_name("SIZE");
  codec
      .add_option("-f,--stepfactor", options.step_factor,
                  "From each size to the next")
      ->type_name("N")
      ->check(CLI::Range(2u, 1u << 30))
      ->capture_default_str();
  codec
      .add_option("-n,--iters", options.settings.iterations,
                  "Timed iterations; times are their medians")
      ->type_name("N")
      ->check(CLI::Range(1u, 1000000u))
      ->capture_default_str();
  codec
      .add_option("-w,--warmup_iters", options.settings.warmup_iterations,
                  "Iterations before these")
      ->type_name("N")
      ->check(CLI::Range(0u, 1000000u))
      ->capture_default_str();
}

}  // namespace

CLI::App& AddBench(CLI::App& app, BenchCodecOptions& options) {
  CLI::App& bench = *app.add_subcommand("bench", "Measures parts of Terse");
  bench.require_subcommand(1);
  CLI::App& codec = *bench.add_subcommand(
      "codec",
      "Bits, speed beside memcpy and y += x, and loss of every gradient codec, "
      "in blocks of 2^18 elements as a job cuts them");
  AddSizes(codec, options);
  codec
      .add_option("--codec", options.codecs,
                  "As in a job: --codec qsgd:levels=7,bucket=512; may be "
                  "repeated; else all, as published")
      ->type_name("NAME[:k=v,...]")
      ->expected(1)
      ->take_all();
  codec
      .add_option("--threads", options.threads,
                  "Threads that share the blocks, and the yardsticks")
      ->type_name("N")
      ->check(CLI::Range(1u, 1024u))
      ->capture_default_str();
  codec
      .add_option("--input", options.input,
                  "gaussian, laplace, student_t, sparse:SHARE, zeros, or "
                  "file:PATH with raw float32")
      ->type_name("INPUT")
      ->capture_default_str();
  codec.add_flag("--error-feedback,!--no-error-feedback",
                 options.settings.error_feedback,
                 "Measures encoding with error feedback too (it does so unless "
                 "told not to)");
  codec
      .add_option("--kernel-target", options.settings.kernel_target,
                  "Instruction set of the kernels; scalar: the plain reference")
      ->type_name("NAME")
      ->capture_default_str();
  codec
      .add_option("--json", options.json_path,
                  "Writes the rows here as JSON; -: to stdout, in place of the "
                  "tables")
      ->type_name("FILE");
  codec
      .add_option("--seed", options.settings.seed,
                  "Of the input and of stochastic rounding")
      ->type_name("N")
      ->capture_default_str();
  CLI::App& comm = *bench.add_subcommand(
      "comm",
      "What servers and workers exchange, in the manner of nccl-tests; `terse "
      "bench comm --help` lists its flags");
  comm.prefix_command();
  comm.set_help_flag();
  return bench;
}

}  // namespace terse
