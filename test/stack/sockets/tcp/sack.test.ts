/** SACK-1 … SACK-3: selective acknowledgments (RFC 2018, 2883, 6675), of what comes and of what was sent. */
import { describe, expect, it } from 'vitest'
import { Bed } from './bed.js'
import { pattern, type Puppet, type PuppetOptions } from './puppet.js'
import { Segment } from './segment.js'
import type { User } from './user.js'

const MSS = 1000
const KIND = 5

/** The option's bytes, with its sequence numbers. */
const option = (segment: Segment): string => {
  const bytes = segment.bytes.subarray(40, 20 + segment.headerLength)
  for (let i = 0; i < bytes.length;) {
    if (bytes[i] === KIND) return Buffer.from(bytes.subarray(i, i + bytes[i + 1]!)).toString('hex')
    i += bytes[i] === 1 ? 1 : bytes[i + 1]!
  }
  return ''
}

const sending = (options: PuppetOptions = {}): { bed: Bed; peer: Puppet; user: User } => {
  const bed = new Bed({ tcp: { congestion: 'new-reno' } })
  const peer = bed.puppet({ mss: MSS, window: 32_768, scale: 7, sack: true, ...options })
  const user = bed.connect(peer)
  peer.syn()
  bed.advance(100)
  peer.send('SA')
  peer.sent()
  user.write(pattern(1 << 20))
  return { bed, peer, user }
}

const numbers = (peer: Puppet): number[] => peer.segments().map(({ seq }) => (seq - 1) / MSS)

/** Blocks in segments. */
const acknowledge = (peer: Puppet, segments: number, ...blocks: [number, number][]): Puppet =>
  peer.send('A', { ack: 1 + segments * MSS, ...(blocks.length > 0 ? { sack: blocks.map(([left, right]) => [1 + left * MSS, 1 + right * MSS] as const) } : {}) })

describe('blocks that are sent', () => {
  it('SACK-1: tell three holes, what came last first, in 8n + 2 bytes', () => {
    const { peer } = new Bed().opened({ sack: true, first: 0x10000000 })
    const answers = [1001, 3001, 5001].map((seq) => {
      peer.send('A', { seq, data: 1000 })
      return peer.segment()
    })
    expect(answers.map(({ text }) => text)).toEqual(new Array<string>(3).fill('A 1 ack 1'))
    expect(answers.map(option)).toEqual([
      '050a100003e9100007d1',
      '051210000bb910000fa1100003e9100007d1',
      '051a100013891000177110000bb910000fa1100003e9100007d1',
    ])
    expect(answers[2]!.kinds.length % 4).toBe(3)
    // The block that grew is the first again.
    peer.send('A', { seq: 2001, data: 500 })
    expect(peer.segment().options.sack).toEqual([[1001, 2501], [5001, 6001], [3001, 4001]])
  })

  it('SACK-1: are four at most, three beside timestamps', () => {
    for (const timestamps of [false, true]) {
      const { peer } = new Bed().opened({ sack: true, timestamps })
      let last: Segment | null = null
      for (let i = 1; i <= 6; i++) {
        peer.send('A', { seq: 1 + 2000 * i, data: 1000 })
        last = peer.segment()
      }
      const blocks = [6, 5, 4, 3].map((i) => [1 + 2000 * i, 1001 + 2000 * i])
      expect(last!.options.sack).toEqual(timestamps ? blocks.slice(0, 3) : blocks)
      expect(last!.headerLength).toBeLessThanOrEqual(60)
    }
  })

  it('SACK-1: are in every acknowledgment that leaves a hole, and gone with the last hole', () => {
    const { peer, user } = new Bed().opened({ sack: true })
    peer.send('A', { seq: 2001, data: 1000 })
    expect(peer.segment().options.sack).toEqual([[2001, 3001]])
    peer.send('A', { seq: 4001, data: 1000 })
    peer.sent()
    // Part of the first hole.
    peer.send('A', { seq: 1, data: 1000 })
    const answer = peer.segment()
    expect([answer.ack, answer.options.sack]).toEqual([1001, [[4001, 5001], [2001, 3001]]])
    user.write('x')
    expect(peer.segment().options.sack).toEqual([[4001, 5001], [2001, 3001]])
    peer.send('A', { seq: 1001, data: 3000 })
    const last = peer.segment()
    expect([last.ack, last.options.sack?.length ?? 0]).toEqual([5001, 1])
    peer.send('A', { seq: 5001, data: 1000 })
    peer.send('A', { seq: 6001, data: 1000 })
    expect(peer.segments().every(({ options }) => options.sack === undefined)).toBe(true)
    expect(user.take()).toHaveLength(7000)
  })

  it('SACK-1: are not sent when either side has not offered them', () => {
    for (const mine of ['opened', 'connected'] as const) {
      const { peer } = new Bed()[mine]({ sack: false })
      peer.send('A', { seq: 1001, data: 1000 })
      const answer = peer.segment()
      expect([answer.text, answer.options.sack]).toEqual(['A 1 ack 1', undefined])
    }
  })

  it('SACK-1: tell of a duplicate once, in the first block (RFC 2883 4)', () => {
    const { peer } = new Bed().opened({ sack: true })
    peer.send('A', { data: 2000 })
    peer.send('A', { seq: 4001, data: 1000 })
    peer.sent()
    peer.send('A', { seq: 501, data: 1000 })
    expect(peer.segment().options.sack).toEqual([[501, 1501], [4001, 5001]])
    peer.send('A', { seq: 4501, data: 200 })
    expect(peer.segment().options.sack).toEqual([[4501, 4701], [4001, 5001]])
    peer.send('A', { seq: 5001, data: 200 })
    expect(peer.segment().options.sack).toEqual([[4001, 5201]])
  })

  it('SACK-2: what they tell is delivered when the holes are filled, in order', () => {
    const { peer, user } = new Bed().opened({ sack: true })
    const bytes = pattern(10_000)
    for (const i of [9, 3, 5, 1, 7, 4, 8, 2, 6]) peer.send('A', { seq: 1 + 1000 * i, data: bytes.subarray(1000 * i, 1000 * i + 1000) })
    expect(user.take()).toHaveLength(0)
    peer.send('A', { seq: 1, data: bytes.subarray(0, 1000) })
    expect(Buffer.compare(user.take(), bytes)).toBe(0)
    expect(peer.segments().at(-1)!.ack).toBe(10_001)
  })
})

describe('blocks that come', () => {
  it('SACK-2: keep nothing from being sent again when the peer has thrown away what it had told', () => {
    const { bed, peer, user } = sending({ window: 10 * MSS, scale: 0 })
    expect(numbers(peer)).toHaveLength(10)
    bed.advance(100)
    for (let top = 2; top <= 10; top++) acknowledge(peer, 0, [1, top])
    expect(numbers(peer)).toEqual([0])
    // It takes the first one, and has nothing of the others any more.
    const arrived = new Set<number>()
    let next = 1
    acknowledge(peer, next)
    for (let round = 0; round < 40 && next < 20; round++) {
      bed.advance(100)
      for (const number of numbers(peer)) arrived.add(number)
      while (arrived.has(next)) next++
      acknowledge(peer, next)
    }
    expect(next).toBeGreaterThanOrEqual(20)
    expect(user.error).toBeNull()
  })

  it('SACK-2: are forgotten when the timer expires again and again: all is sent from the left edge on', () => {
    const { bed, peer } = sending({ window: 4 * MSS, scale: 0 })
    expect(numbers(peer)).toEqual([0, 1, 2, 3])
    bed.advance(100)
    acknowledge(peer, 0, [3, 4])
    bed.advance(5000)
    expect(new Set(numbers(peer))).toContain(0)
    const all = new Set<number>()
    for (let next = 1; next <= 4; next++) {
      acknowledge(peer, next)
      bed.advance(100)
      for (const number of numbers(peer)) if (number < 4) all.add(number)
    }
    expect([...all].sort()).toEqual([1, 2, 3])
  })

  it('SACK-2: free nothing of what may have to be sent again', () => {
    const { peer, user } = sending()
    peer.sent()
    const before = user.endpoint.writeLength
    acknowledge(peer, 0, [1, 10])
    expect(user.endpoint.writeLength).toBe(before)
    acknowledge(peer, 2)
    expect(user.endpoint.writeLength).toBe(before - 2 * MSS)
  })

  it('SACK-3: make two lost segments of a window be sent again within one round trip, and nothing else', () => {
    const { bed, peer } = sending()
    expect(numbers(peer)).toHaveLength(10)
    bed.advance(100)
    // 2 and 6 are lost.
    acknowledge(peer, 2)
    expect(numbers(peer)).toEqual([10, 11, 12, 13])
    for (let top = 4; top <= 6; top++) acknowledge(peer, 2, [3, top])
    const again = numbers(peer)
    expect(again.filter((number) => number < 10)).toEqual([2])
    for (let top = 8; top <= 14; top++) acknowledge(peer, 2, [7, top], [3, 6])
    const rest = numbers(peer)
    expect(rest.filter((number) => number < 10)).toEqual([6])
    const last = Math.max(...again, ...rest)
    bed.advance(100)
    acknowledge(peer, 2, [7, Math.max(...again.filter((number) => number > 9)) + 1], [3, 6])
    acknowledge(peer, 6, [7, Math.max(...again) + 1])
    acknowledge(peer, last + 1)
    expect(numbers(peer).every((number) => number > last)).toBe(true)
  })

  it('SACK-3: one or two segments above a hole do not make it lost, three do, and so do three small ones', () => {
    const { bed, peer, user } = sending({ mss: MSS })
    peer.sent()
    bed.advance(100)
    acknowledge(peer, 0, [1, 2])
    acknowledge(peer, 0, [1, 3])
    expect(numbers(peer)).toEqual([10, 11])
    acknowledge(peer, 0, [1, 4])
    expect(numbers(peer)).toContain(0)
    expect(user.error).toBeNull()
    const small = new Bed()
    const other = small.puppet({ sack: true })
    const writer = small.connect(other)
    other.syn()
    small.advance(100)
    other.send('SA')
    other.sent()
    writer.endpoint.setNoDelay(true)
    for (const letter of 'abcde') writer.write(letter)
    other.sent()
    small.advance(100)
    other.send('A', { ack: 1, sack: [[2, 3]] })
    other.send('A', { ack: 1, sack: [[2, 4]] })
    expect(other.sent()).toEqual([])
    other.send('A', { ack: 1, sack: [[2, 5]] })
    expect(other.sent()).toEqual(['A 1:2 ack 1'])
  })

  it('SACK-3: sends lost segments first, lowest first, before what is new', () => {
    const { bed, peer } = sending()
    peer.sent()
    bed.advance(100)
    acknowledge(peer, 0, [5, 10])
    bed.advance(100)
    const sent = numbers(peer)
    expect(sent[0]).toBe(0)
    const again = sent.filter((number) => number < 10)
    expect(again).toEqual([0, 1, 2, 3, 4].slice(0, again.length))
    expect(again.length).toBeGreaterThanOrEqual(2)
  })

  it('SACK-3: that make no sense change nothing', () => {
    const { bed, peer, user } = sending()
    peer.sent()
    bed.advance(100)
    acknowledge(peer, 2, [900, 950], [5, 4], [4, 4], [-10, -5])
    expect(numbers(peer)).toHaveLength(4)
    expect(user.error).toBeNull()
    acknowledge(peer, 14)
    expect(numbers(peer).length).toBeGreaterThanOrEqual(14)
  })
})

describe('RACK', () => {
  it('RACK-1: sends nothing again that only came in another order within a quarter of the round trip', () => {
    const { bed, peer } = sending()
    peer.sent()
    bed.advance(100)
    acknowledge(peer, 0, [1, 2])
    bed.advance(20)
    acknowledge(peer, 2)
    bed.advance(50)
    expect(numbers(peer).every((number) => number >= 10)).toBe(true)
  })

  it('RACK-1: sends again what stays away longer than that, without a timeout', () => {
    const { bed, peer } = sending()
    peer.sent()
    bed.advance(100)
    acknowledge(peer, 0, [1, 2])
    peer.sent()
    bed.advance(24)
    expect(numbers(peer)).toEqual([])
    bed.advance(2)
    expect(numbers(peer)[0]).toBe(0)
  })

  it('RACK-1: finds that what was sent again is lost again, without a timeout', () => {
    const { bed, peer } = sending()
    peer.sent()
    bed.advance(100)
    for (let top = 2; top <= 10; top++) acknowledge(peer, 0, [1, top])
    const first = numbers(peer)
    expect(first.filter((number) => number === 0)).toHaveLength(1)
    bed.advance(100)
    acknowledge(peer, 0, [1, Math.max(...first) + 1])
    expect(numbers(peer)[0]).toBe(0)
  })

  it('RACK-1: waits longer after duplicates were reported', () => {
    const { bed, peer } = sending()
    peer.sent()
    bed.advance(100)
    for (let top = 2; top <= 5; top++) acknowledge(peer, 0, [1, top])
    const sent = numbers(peer)
    expect(sent).toContain(0)
    // The first comes late, then the one that was sent again: a duplicate.
    acknowledge(peer, 10)
    acknowledge(peer, 10, [0, 1])
    const end = Math.max(...sent, ...numbers(peer)) + 1
    bed.advance(100)
    acknowledge(peer, 11, [12, end])
    const waited = bed.now
    while (!numbers(peer).includes(11) && bed.now - waited < 100) bed.advance(1)
    expect(bed.now - waited).toBeGreaterThanOrEqual(49)
    expect(bed.now - waited).toBeLessThan(60)
  })

  it('RACK-2: probes the tail after two round trips with its last segment, once, then waits for the timer', () => {
    const { bed, peer, user } = sending()
    user.endpoint.abort()
    const other = bed.puppet({ mss: MSS, sack: true })
    const writer = bed.connect(other)
    other.syn()
    bed.advance(100)
    other.send('SA')
    other.sent()
    writer.write(pattern(4 * MSS))
    other.sent()
    const start = bed.now
    bed.advance(1200)
    const sent = other.timeline(start)
    expect(sent[0]![1]).toBe('A 3001:4001 ack 1')
    expect(sent[0]![0]).toBeGreaterThanOrEqual(200)
    expect(sent[0]![0]).toBeLessThan(300)
    expect(sent.slice(1).every(([, text]) => text === 'A 1:1001 ack 1')).toBe(true)
    expect(peer.sent()).toHaveLength(11)
  })

  it('RACK-2: probes with new data, if there is some', () => {
    const { bed, peer } = sending()
    expect(numbers(peer)).toHaveLength(10)
    bed.advance(250)
    expect(numbers(peer)).toEqual([10])
  })

  it('RACK-2: the probe repairs the loss of the tail before the timer would', () => {
    const bed = new Bed({ tcp: { minRto: 1000 } })
    const peer = bed.puppet({ mss: MSS, sack: true })
    const user = bed.connect(peer)
    peer.syn()
    bed.advance(100)
    peer.send('SA')
    peer.sent()
    user.write(pattern(6 * MSS))
    user.shutdown()
    peer.sent()
    bed.advance(100)
    peer.send('A', { ack: 1 + 3 * MSS })
    const start = bed.now
    bed.advance(300)
    expect(peer.timeline(start).map(([, text]) => text)).toEqual(['FA 5001:6001 ack 1'])
    bed.advance(50)
    peer.send('A', { ack: 1 + 3 * MSS, sack: [[5001, 6002]] })
    expect(peer.sent()).toEqual(['A 3001:4001 ack 1'])
    bed.advance(100)
    peer.send('A', { ack: 4001, sack: [[5001, 6002]] })
    expect(peer.sent()).toEqual(['A 4001:5001 ack 1'])
    expect(bed.now - start).toBeLessThan(1000)
  })
})
