/** The Internet checksum. */
import { native } from '../../../src/native.js'
import { sum, useBulkSum } from '../../../src/stack/wire/checksum.js'
import { type Case, sink } from './case.js'

const bytes = Uint8Array.from({ length: 65535 }, (_, index) => (index * 31) & 0xff)
const PER_CALL = 64

/** Has sums of at least `threshold` bytes done in C, in the manner of the worker; Infinity: none. */
export const useNativeSums = (threshold: number): void =>
  useBulkSum((slab, at, length, initial) => native().checksum(slab, at, length, initial), threshold)

/** Starts at varying addresses, as packets do. */
export const checksum = (length: number): Case => ({
  name: `checksum of ${length} bytes`,
  count: PER_CALL,
  run: () => {
    for (let done = 0; done < PER_CALL; done++) sink.value += sum(bytes, Math.min(done * 4, 65535 - length), length, 0)
  },
})
