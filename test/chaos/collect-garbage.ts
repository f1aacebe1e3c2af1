// For `node --expose-gc --import`: a garbage collection on SIGUSR2, so that what is measured then is in use.
process.on('SIGUSR2', () => globalThis.gc?.())
