/** SOCK-1: what a segment must be to be looked at, and options that senders write as they like. */
import { describe, expect, it } from 'vitest'
import { Bed } from './bed.js'
import { pattern } from './puppet.js'
import { same } from '../../support.js'

const NOP = 1
const MSS_500 = [2, 4, 1, 244]

describe('checksums', () => {
  it('SOCK-1: a segment with a wrong checksum changes nothing and gets no answer', () => {
    const { peer, user } = new Bed().opened()
    peer.send('A', { seq: 1, data: 'wrong', packet: { corrupt: 'transport' } })
    peer.send('R', { packet: { corrupt: 'transport' } })
    expect(peer.sent()).toEqual([])
    expect(user.takeText()).toBe('')
    peer.send('A', { data: 'right' })
    expect(user.takeText()).toBe('right')
  })

  it('SOCK-1: a SYN with a wrong checksum opens nothing', () => {
    const bed = new Bed()
    bed.listen(80)
    const peer = bed.puppet({ stackPort: 80 })
    peer.send('S', { seq: 0, packet: { corrupt: 'transport' } })
    bed.advance(5000)
    expect(peer.sent()).toEqual([])
    peer.open()
  })

  it('SOCK-1: every segment sent has a right checksum, in superpackets too', () => {
    // The network of the test refuses wrong ones; here is that it looks at some.
    for (const offloads of [{ checksum: false, tcp: false, udp: false }, { checksum: true, tcp: true, udp: true }]) {
      const bed = new Bed({ offloads })
      const { peer, user } = bed.opened()
      user.write(pattern(5001))
      user.shutdown()
      expect(peer.segments().reduce((sum, { length }) => sum + length, 0)).toBe(5001)
    }
  })

  it('SOCK-1: data of a superpacket arrives whole', () => {
    const { peer, user } = new Bed().opened()
    peer.send('A', { data: 20_000, gso: 1460 })
    expect(same(user.take(), pattern(20_000))).toBe(true)
  })
})

describe('headers', () => {
  it.each([0, 4, 16])('SOCK-1: a header that says %i bytes is discarded', (length) => {
    const { peer, user } = new Bed().opened()
    const made = peer.build('A', { seq: 1, data: 'data' })
    made.bytes[20 + 12] = (length / 4) << 4
    peer.inject(made)
    expect(peer.sent()).toEqual([])
    expect(user.takeText()).toBe('')
  })

  it('SOCK-1: a header longer than its packet is discarded', () => {
    const { peer, user } = new Bed().opened()
    const made = peer.build('A', { seq: 1, data: 'data' })
    made.bytes[20 + 12] = 15 << 4
    peer.inject(made)
    expect(peer.sent()).toEqual([])
    expect(user.takeText()).toBe('')
  })

  it('SOCK-1: reserved bits of the header do not matter', () => {
    const { peer, user } = new Bed().opened()
    const made = peer.build('A', { data: 'data', packet: {} })
    made.bytes[20 + 12] = made.bytes[20 + 12]! | 0x0e
    // The checksum counts the word.
    const sum = made.bytes[36]! * 256 + made.bytes[37]! - 0x0e00
    const field = sum < 0 ? sum + 0xffff : sum
    made.bytes[36] = field >> 8
    made.bytes[37] = field & 255
    peer.inject(made)
    expect(user.takeText()).toBe('data')
  })
})

const STRANGE: readonly (readonly [name: string, bytes: readonly number[]])[] = [
  ['an option of length 0', [30, 0, 5, 5]],
  ['an option of length 1', [30, 1, 5, 5]],
  ['an option of length 255', [30, 255, 5, 5]],
  ['an option cut off behind its kind', [NOP, NOP, NOP, 30]],
  ['an unknown option', [30, 6, 1, 2, 3, 4, NOP, NOP]],
  ['40 times no operation', Array.from({ length: 40 }, () => NOP)],
  ['an end of options and rubbish behind it', [0, 2, 4, 9]],
  ['an MSS of 3 bytes', [2, 3, 1, NOP]],
  ['an MSS of 2 bytes', [2, 2, NOP, NOP]],
  ['timestamps of 4 bytes', [8, 4, 1, 1]],
  ['SACK of 3 bytes', [5, 3, 1, NOP]],
  ['a window scale of 2 bytes', [3, 2, NOP, NOP]],
]

describe('options', () => {
  it.each(STRANGE)('SOCK-1: %s in a SYN is survived', (_name, bytes) => {
    const bed = new Bed()
    const { accepted } = bed.listen(80)
    const peer = bed.puppet({ stackPort: 80 })
    peer.open({ options: Uint8Array.from(bytes) })
    peer.send('A', { data: 'data' })
    expect(accepted[0]!.takeText()).toBe('data')
  })

  it.each(STRANGE)('SOCK-1: %s beside data is survived', (_name, bytes) => {
    const { peer, user } = new Bed().opened()
    peer.send('A', { data: 'data', options: Uint8Array.from(bytes) })
    expect(user.takeText()).toBe('data')
  })

  it.each([
    ['first', [...MSS_500]],
    ['at an odd place', [NOP, ...MSS_500, NOP, NOP, NOP]],
    ['behind an unknown one', [253, 5, 1, 2, 3, ...MSS_500, NOP, NOP, NOP]],
    ['last of 40 bytes', [...Array.from({ length: 36 }, () => NOP), ...MSS_500]],
  ])('SOCK-1: an MSS %s is read', (_name, bytes) => {
    const bed = new Bed()
    const { accepted } = bed.listen(80)
    const peer = bed.puppet({ stackPort: 80 })
    peer.open({ options: Uint8Array.from(bytes) })
    accepted[0]!.write(pattern(600))
    expect(peer.segments()[0]!.length).toBe(500)
  })

  it('SOCK-1: timestamps without padding are read', () => {
    const bed = new Bed()
    bed.listen(80)
    const peer = bed.puppet({ stackPort: 80 })
    peer.send('S', { options: Uint8Array.of(8, 10, 0, 0, 4, 210, 0, 0, 0, 0, 2, 4, 5, 180, 1, 1) })
    expect(peer.segment().options.timestamps?.[1]).toBe(1234)
  })

  it('SOCK-1: an MSS in another segment than SYN does not matter', () => {
    const { peer, user } = new Bed().opened()
    peer.send('A', { options: Uint8Array.from(MSS_500) })
    user.write(pattern(1460))
    expect(peer.segment().length).toBe(1460)
  })

  it.each([0, 1, 8])('SOCK-1: an MSS of %i neither stops nor crumbles the sending', (mss) => {
    const bed = new Bed()
    const { accepted } = bed.listen(80)
    const peer = bed.puppet({ stackPort: 80, mss })
    peer.open()
    accepted[0]!.write(pattern(200))
    const [first] = peer.segments()
    expect(first!.length).toBeGreaterThanOrEqual(8)
    expect(first!.length).toBeLessThanOrEqual(536)
  })
})
