/**
 * Random 32-bit numbers from the operating system's generator, drawn in blocks so that taking one neither allocates nor
 * makes a system call. RFC 6056 3.3 wants ports that cannot be guessed, so `Math.random` will not do.
 */
import { getRandomValues } from 'node:crypto'

export interface RandomSource {
  /** Uniform in 0 .. 2^32 - 1. */
  next(): number
}

const BLOCK = 1024

export const systemRandom = (): RandomSource => {
  const block = new Uint32Array(BLOCK)
  let used = BLOCK
  return {
    next: () => {
      if (used === BLOCK) {
        getRandomValues(block)
        used = 0
      }
      return block[used++]!
    },
  }
}

/** Uniform in 0 .. bound - 1, without modulo bias: draws again in the incomplete last interval. */
export const below = (random: RandomSource, bound: number): number => {
  const limit = 0x1_0000_0000 - (0x1_0000_0000 % bound)
  let value = random.next()
  while (value >= limit) value = random.next()
  return value % bound
}
