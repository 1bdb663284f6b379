import { describe, expect, it } from 'vitest'
import { Recovery } from '../../../../../src/stack/sockets/tcp/recovery/recovery.js'

const MSS = 1000
const NOTHING = new Int32Array(0)

describe('the window after a loss', () => {
  it('is half of what was in flight, though acknowledgements in a batch have not been answered with new data yet', () => {
    const recovery = new Recovery({
      mss: MSS, sack: true, timestamps: false, initialSequence: 0, congestion: 'new-reno', minRto: 200, initialRto: 1000,
    })
    recovery.sent(0, 1, 0)
    recovery.acknowledged(1, NOTHING, 0, -1, false, 50)
    for (let i = 0; i < 10; i++) recovery.sent(1 + i * MSS, 1 + (i + 1) * MSS, 50)
    // All but the seventh have arrived, and all acknowledgements are there before anything else is sent.
    for (let i = 1; i <= 6; i++) recovery.acknowledged(1 + i * MSS, NOTHING, 0, -1, false, 100)
    expect(recovery.cwnd).toBe(16 * MSS)
    for (let i = 8; i <= 10; i++) recovery.acknowledged(1 + 6 * MSS, Int32Array.of(1 + 7 * MSS, 1 + i * MSS), 1, -1, true, 100)
    expect(recovery.nextLost({ start: 0, end: 0 })).toBe(true)
    expect(recovery.ssthresh).toBeGreaterThanOrEqual(5 * MSS)
    expect(recovery.ssthresh).toBeLessThanOrEqual(8 * MSS)
  })
})
