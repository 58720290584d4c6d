#ifndef TERSE_WORKER_TORCH_THREADS_H_
#define TERSE_WORKER_TORCH_THREADS_H_

#include <cstdint>

namespace terse {

// Gives every tensor operation of the process `threads` threads, torch's own
// and the BLAS library's alike. A program that links this also has OpenMP
// threads sleep while they wait (OMP_WAIT_POLICY=passive, unless the
// environment says otherwise): spinning, they take the cores from the BLAS
// library's threads, and two threads are slower than one.
// Call it before the first tensor operation.
void ConfigureTorchThreads(uint32_t threads);

}  // namespace terse

#endif  // TERSE_WORKER_TORCH_THREADS_H_
