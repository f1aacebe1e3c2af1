// For `node --expose-gc --import`: a garbage collection on SIGWINCH, so that what is measured then is in use. Other signals end the gateway.
process.on('SIGWINCH', () => globalThis.gc?.())
