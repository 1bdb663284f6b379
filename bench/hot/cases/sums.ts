/** The Internet checksum in JavaScript and in C. */
import { native } from '../../../src/native.js'
import { sum } from '../../../src/stack/wire/checksum.js'
import { type Case, sink } from './case.js'

const bytes = Uint8Array.from({ length: 65535 }, (_, index) => (index * 31) & 0xff)
const PER_CALL = 64

/** Starts at varying addresses, as packets do. */
export const sumInJavaScript = (length: number): Case => ({
  name: `checksum of ${length} bytes in JavaScript`,
  count: PER_CALL,
  run: () => {
    for (let done = 0; done < PER_CALL; done++) sink.value += sum(bytes, Math.min(done * 4, 65535 - length), length, 0)
  },
})

export const sumInC = (length: number): Case => {
  const addon = native()
  return {
    name: `checksum of ${length} bytes in C`,
    count: PER_CALL,
    run: () => {
      for (let done = 0; done < PER_CALL; done++) sink.value += addon.checksum(bytes, Math.min(done * 4, 65535 - length), length, 0)
    },
  }
}
