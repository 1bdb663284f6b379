/** TS-2 and TS-3: what timestamps must not do (RFC 7323 5). */
import { describe, expect, it } from 'vitest'
import { Bed } from './bed.js'

describe('timestamps, where they do not count', () => {
  it('TS-2: a reset needs none', () => {
    const { peer, user } = new Bed().opened({ timestamps: true })
    peer.send('R', { timestamps: false })
    expect(user.events).toEqual(['error ECONNRESET', 'close'])
  })

  it('TS-3: with an old one the acknowledgment does not count either', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened({ timestamps: true })
    user.write('data')
    peer.sent()
    bed.advance(100)
    peer.send('A', { ack: 5, timestamps: [1, 0] })
    expect(user.endpoint.writeLength).toBe(4)
    peer.send('A', { ack: 5 })
    expect(user.endpoint.writeLength).toBe(0)
  })

  it('TS-3: two hosts behind one address do not disturb each other', () => {
    const bed = new Bed()
    const { accepted } = bed.listen(80)
    for (const clock of [3_000_000, 5000, 2_000_000]) {
      const peer = bed.puppet({ stackPort: 80, timestamps: true })
      peer.open({ timestamps: [clock, 0] })
      peer.send('A', { data: 'hello', timestamps: [clock + 1, 0] })
      expect(accepted.at(-1)!.takeText()).toBe('hello')
    }
  })
})
