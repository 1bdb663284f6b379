/** TS-1: window scaling (RFC 7323 2). */
import { describe, expect, it } from 'vitest'
import { Bed } from './bed.js'
import { fillWindow, pattern } from './puppet.js'

/** Bytes that the stack has on their way, when the peer acknowledges until it no longer sends more at a time. */
const mostInFlight = (bed: Bed, scale: number | undefined, window: number): number => {
  const { peer, user } = bed.opened({ window, mss: 1460, ...(scale === undefined ? {} : { scale }) })
  user.write(new Uint8Array(8 << 20))
  let [most, acknowledged] = [0, 1]
  for (let turn = 0; turn < 400; turn++) {
    const sent = peer.segments()
    if (sent.length === 0) break
    most = Math.max(most, sent.at(-1)!.end - acknowledged)
    bed.advance(10)
    // One ACK for each two segments, as a receiver does, so that the congestion window grows.
    for (let index = 1; index < sent.length; index += 2) peer.send('A', { ack: sent[index]!.end })
    acknowledged = sent.at(-1)!.end
    peer.send('A', { ack: acknowledged })
  }
  return most
}

describe('the window scale that the stack says', () => {
  it('TS-1: is in its SYN, at most 14', () => {
    const bed = new Bed()
    const peer = bed.puppet()
    bed.connect(peer)
    const { scale } = peer.syn().options
    expect(scale).toBeGreaterThanOrEqual(1)
    expect(scale).toBeLessThanOrEqual(14)
  })

  it('TS-1: is in the answer to a SYN that had one, and in no other', () => {
    const bed = new Bed()
    bed.listen(80)
    expect(bed.puppet({ stackPort: 80, scale: 0 }).open().options.scale).toBeGreaterThanOrEqual(1)
    expect(bed.puppet({ stackPort: 80 }).open().options.scale).toBeUndefined()
  })

  it('TS-1: is in no segment but SYN', () => {
    const { peer, user } = new Bed().opened({ scale: 7 })
    user.write(pattern(3000))
    peer.send('A', { data: 10 })
    user.shutdown()
    expect(peer.segments().filter(({ options }) => options.scale !== undefined)).toEqual([])
  })

  it('TS-1: holds for all windows but those of SYNs', () => {
    const bed = new Bed({ tcp: { receiveBuffer: 1 << 20 } })
    bed.listen(80)
    const peer = bed.puppet({ stackPort: 80, scale: 3 })
    const { window, options } = peer.open()
    expect(window).toBe(65_535)
    peer.send('A', { data: 3000 })
    bed.advance(500)
    expect(peer.segments().at(-1)!.window << options.scale!).toBeGreaterThan(900_000)
  })

  it('TS-1: lets the window be filled to its end, and never beyond', () => {
    const bed = new Bed({ tcp: { receiveBuffer: 1 << 20, receiveBufferMax: 1 << 20 } })
    const listening = bed.listen(80, { isReading: false })
    const peer = bed.puppet({ stackPort: 80, scale: 3 })
    const { options } = peer.open()
    const filled = fillWindow(bed, peer, { shift: options.scale! })
    expect(Math.abs(filled - (1 << 20))).toBeLessThanOrEqual(2 << options.scale!)
    // What it told last is a full unit, of which less may be left.
    peer.send('A', { seq: peer.seq, data: 1000 })
    bed.advance(500)
    const last = peer.segments().at(-1)!
    expect(last.window).toBe(0)
    expect(last.ack - peer.seq).toBeLessThanOrEqual(2 << options.scale!)
    expect(listening.accepted[0]!.read().take().length).toBe(last.ack - 1)
  })
})

describe('a window that is told in units', () => {
  it.each([1, 7, 100, 129])('TS-1: is closed by segments of %i bytes, too, when nobody reads', (size) => {
    const bed = new Bed({ tcp: { receiveBuffer: 8192, receiveBufferMax: 8192 } })
    const { accepted } = bed.listen(80, { isReading: false })
    const peer = bed.puppet({ stackPort: 80, scale: 3 })
    const shift = peer.open().options.scale!
    expect(fillWindow(bed, peer, { size, shift })).toBeLessThanOrEqual(8192 + (2 << shift))
    expect(accepted[0]!.read().take().length).toBe(peer.seq - 1)
  })
})

describe('the window scale of the peer', () => {
  it('TS-1: multiplies its window', () => {
    expect(mostInFlight(new Bed(), 4, 10_000)).toBeGreaterThan(160_000 - 1460)
    expect(mostInFlight(new Bed(), 4, 10_000)).toBeLessThanOrEqual(160_000)
    expect(mostInFlight(new Bed(), 0, 10_000)).toBeLessThanOrEqual(10_000)
  })

  it('TS-1: is not used when it did not say one', () => {
    expect(mostInFlight(new Bed(), undefined, 65_535)).toBeLessThanOrEqual(65_535)
  })

  it.each([15, 255])('TS-1: of %i counts as 14', (scale) => {
    // One of 16 KiB: two such units are what may be sent, 2^15 or more would be twice that.
    expect(mostInFlight(new Bed(), scale, 2)).toBeLessThanOrEqual(32_768)
    expect(mostInFlight(new Bed(), scale, 2)).toBeGreaterThan(32_768 - 1460)
  })

  it('TS-1: does not count for the window of its SYN', () => {
    const bed = new Bed()
    const peer = bed.puppet({ scale: 10 })
    const user = bed.connect(peer)
    peer.syn()
    user.write(pattern(5000))
    peer.send('SA', { window: 1460 })
    const sent = peer.segments().filter(({ length }) => length > 0)
    expect(sent.at(-1)!.end).toBeLessThanOrEqual(1461)
  })

  it('TS-1: in another segment than SYN means nothing', () => {
    const { peer, user } = new Bed().opened({ window: 1000 })
    peer.send('A', { scale: 8 })
    user.write(pattern(5000))
    expect(peer.segments().at(-1)!.end).toBe(1001)
  })
})
