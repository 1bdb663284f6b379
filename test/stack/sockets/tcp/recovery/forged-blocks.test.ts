import { describe, expect, it } from 'vitest'
import { Recovery } from '../../../../../src/stack/sockets/tcp/recovery/recovery.js'

const MSS = 1000
/** Half of all numbers further on, the sign of a difference turns. */
const HALF = 0x8000_0000

describe('SACK blocks that no honest receiver sends', () => {
  const blocks: readonly (readonly [name: string, left: number, right: number])[] = [
    ['behind what was sent', 5000, 6000],
    ['far behind it, where its end looks older than what was sent', HALF + 2000, HALF + 6000],
    ['before what is acknowledged', -5000, -4000],
    ['turned round', 3000, 2000],
    ['empty', 2000, 2000],
    ['across the end', 3500, 4500],
  ]
  for (const [name, left, right] of blocks) {
    it(`passes over one ${name}`, () => {
      const recovery = new Recovery({ mss: MSS, sack: true, timestamps: true, initialSequence: 0, congestion: 'new-reno', minRto: 200, initialRto: 1000 })
      recovery.sent(0, 1, 0)
      recovery.acknowledged(1, new Int32Array(0), 0, 10, false, 10)
      recovery.sent(1, 4001, 10)
      recovery.acknowledged(1, Int32Array.of(left | 0, right | 0), 1, -1, true, 20)
      expect(recovery.flight).toBe(4000)
      recovery.acknowledged(4001, new Int32Array(0), 0, 10, false, 30)
      expect([recovery.flight, recovery.timer]).toEqual([0, Infinity])
      recovery.acknowledged(4001, Int32Array.of(left | 0, right | 0), 1, -1, true, 40)
      expect([recovery.flight, recovery.timer]).toEqual([0, Infinity])
    })
  }
})
