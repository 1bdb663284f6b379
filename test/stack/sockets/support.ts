/** What tests of the stack's sockets share. */
import type { RandomSource } from '../../../src/stack/random.js'
import type { SocketRow } from '../../../src/stack/sockets/socket-table.js'

/** Numbers that look random and are the same each time (SplitMix32). */
export const numbersFrom = (seed: number): RandomSource => {
  let state = seed | 0
  return {
    next: () => {
      state = (state + 0x9e3779b9) | 0
      let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad)
      mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97)
      return (mixed ^ (mixed >>> 15)) >>> 0
    },
  }
}

export const socketRow = (over: Partial<SocketRow>): SocketRow => ({
  protocol: 17, flags: 0, localAddress: 0, localPort: 0, remoteAddress: 0, remotePort: 0, interface: 0, mark: 0, tos: 0, ...over,
})
