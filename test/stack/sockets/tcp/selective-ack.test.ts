/** SACK-1: what the stack says of gaps (RFC 2018, RFC 2883). */
import { describe, expect, it } from 'vitest'
import { Bed } from './bed.js'

describe('SACK', () => {
  it('SACK-1: is offered in a SYN, and answered where it was offered', () => {
    const bed = new Bed()
    const peer = bed.puppet()
    bed.connect(peer)
    expect(peer.syn().options.sackPermitted).toBe(true)
    bed.listen(80)
    expect(bed.puppet({ stackPort: 80, sack: true }).open().options.sackPermitted).toBe(true)
    expect(bed.puppet({ stackPort: 80 }).open().options.sackPermitted).toBeUndefined()
  })

  it('SACK-1: without it from the peer nothing is said of gaps', () => {
    const { peer } = new Bed().opened()
    peer.send('A', { seq: 101, data: 100 })
    expect(peer.segment().options.sack).toBeUndefined()
  })

  it('SACK-1: three holes, the latest segment first, in these bytes', () => {
    const { peer } = new Bed().opened({ sack: true, first: 1000 })
    peer.send('A', { seq: 101, data: 100 })
    peer.send('A', { seq: 301, data: 100 })
    peer.send('A', { seq: 501, data: 100 })
    const acks = peer.segments()
    expect(acks.map(({ options }) => options.sack)).toEqual([
      [[101, 201]],
      [[301, 401], [101, 201]],
      [[501, 601], [301, 401], [101, 201]],
    ])
    const { bytes } = acks[2]!
    expect([...bytes.subarray(40)]).toEqual([
      1, 1, 5, 26,
      0, 0, 1501 >> 8, 1501 & 255, 0, 0, 1601 >> 8, 1601 & 255,
      0, 0, 1301 >> 8, 1301 & 255, 0, 0, 1401 >> 8, 1401 & 255,
      0, 0, 1101 >> 8, 1101 & 255, 0, 0, 1201 >> 8, 1201 & 255,
    ])
  })

  it.each([[false, 4], [true, 3]])('SACK-1: of six gaps, with timestamps %s, it tells of %i', (timestamps, count) => {
    const { peer } = new Bed().opened({ sack: true, timestamps })
    for (let gap = 1; gap <= 6; gap++) peer.send('A', { seq: gap * 200 + 1, data: 100 })
    const last = peer.segments().at(-1)!
    expect(last.options.sack).toHaveLength(count)
    expect(last.options.sack![0]).toEqual([1201, 1301])
    expect(last.headerLength).toBeLessThanOrEqual(60)
  })

  it('SACK-1: a segment that touches a block makes that one the first, and larger', () => {
    const { peer } = new Bed().opened({ sack: true })
    peer.send('A', { seq: 101, data: 100 })
    peer.send('A', { seq: 301, data: 100 })
    peer.send('A', { seq: 201, data: 50 })
    expect(peer.segments().at(-1)!.options.sack).toEqual([[101, 251], [301, 401]])
  })

  it('SACK-1: is in acknowledgments as long as there is a gap, with data too', () => {
    const { peer, user } = new Bed().opened({ sack: true })
    peer.send('A', { seq: 101, data: 100 }).sent()
    user.write('data')
    expect(peer.segment().options.sack).toEqual([[101, 201]])
    peer.send('A', { seq: 1, data: 50 })
    expect(peer.segment()).toMatchObject({ ack: 51, options: { sack: [[101, 201]] } })
    peer.send('A', { seq: 51, data: 50 })
    expect(peer.segment()).toMatchObject({ ack: 201, options: {} })
  })

  it('SACK-1: a segment that came twice is told first (RFC 2883)', () => {
    const { peer } = new Bed().opened({ sack: true })
    peer.send('A', { data: 100 })
    peer.send('A', { data: 100 })
    peer.sent()
    peer.send('A', { seq: 1, data: 100 })
    expect(peer.segment()).toMatchObject({ ack: 201, options: { sack: [[1, 101]] } })
    peer.send('A', { seq: 301, data: 100 }).sent()
    peer.send('A', { seq: 301, data: 100 })
    expect(peer.segment().options.sack).toEqual([[301, 401], [301, 401]])
  })

  it('SACK-1: SACK blocks of the peer that make no sense are survived', () => {
    const { peer, user } = new Bed().opened({ sack: true })
    user.write(new Uint8Array(5000))
    peer.sent()
    for (const block of [[0, 0], [5, 1], [-1000, 20_000], [6000, 7000], [1, 5001], [0x7fffffff, -0x7fffffff]] as const) {
      peer.send('A', { ack: 1, sack: [block, block, block] })
    }
    expect(user.events).toEqual([])
    peer.sent()
    peer.send('A', { ack: 5001 })
    expect(user.endpoint.writeLength).toBe(0)
  })
})
