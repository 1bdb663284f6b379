/** Whole connections between two stacks, over lines of many kinds. */
import { describe, expect, it } from 'vitest'
import type { Offloads } from '../../../../src/stack/device/device.js'
import { pair, pattern, transfer } from './pair.js'
import { User } from './user.js'

const ALL: Offloads = { checksum: true, tcp: true, udp: true }

describe('a transfer', () => {
  it.each([0, 1, 1459, 1461, 100_000, 5_000_000])('of %i bytes ends with both ends closed and nothing left', (total) => {
    const { link, writer, checker } = transfer(total, { delay: 2 })
    expect(checker.received).toBe(total)
    expect(checker.isRight).toBe(true)
    expect([...writer.events].sort()).toEqual(['close', 'connect', 'end', 'finish'])
    expect(checker.events).toEqual(['end', 'finish', 'close'])
    link.run(60_000)
    expect(link.left.stack.table.count).toBe(0)
    expect(link.right.stack.table.count).toBe(1)
  })

  it('of superpackets needs few of them', () => {
    const { link, checker } = transfer(20_000_000, { delay: 1, offloads: ALL })
    expect(checker.received).toBe(20_000_000)
    expect(checker.isRight).toBe(true)
    // Data in superpackets of up to 64 KiB, and not more acknowledgments than those.
    expect(link.passed).toBeLessThan(2000)
  })

  it('in small pieces is put together', () => {
    const { link, checker } = transfer(100_000, { delay: 5 }, 10)
    expect(checker.isRight).toBe(true)
    expect(link.passed).toBeLessThan(400)
  })

  const congestions = ['cubic', 'new-reno'] as const
  const lines = [
    { name: 'loses', loss: 0.03, total: 1_000_000 }, { name: 'reorders', reorder: 0.1, total: 1_000_000 },
    { name: 'duplicates', duplicate: 0.1, total: 1_000_000 }, { name: 'does all of it', loss: 0.02, reorder: 0.05, duplicate: 0.05, total: 1_000_000 },
    { name: 'loses a fifth', loss: 0.2, total: 100_000 },
  ]
  const cases = lines.flatMap((line) => congestions.flatMap((congestion) => [1, 2, 3].map((seed) => ({ ...line, congestion, seed }))))
  it.each(cases)('over a line that $name arrives whole ($congestion, seed $seed)', ({ congestion, total, ...line }) => {
    const { link, checker } = transfer(total, { delay: 10, ...line, tcp: { congestion } })
    expect(checker.received).toBe(total)
    expect(checker.isRight).toBe(true)
    link.run(61_000)
    expect(link.left.stack.table.count).toBe(0)
    expect(link.right.stack.table.count).toBe(1)
  })

  it('of superpackets over a line that loses arrives whole', () => {
    const { checker } = transfer(10_000_000, { delay: 5, loss: 0.02, offloads: ALL })
    expect(checker.received).toBe(10_000_000)
    expect(checker.isRight).toBe(true)
  })

  it('grows the window with what the path holds', () => {
    // 12.5 MB a second and 100 ms there and back hold 1.25 MB.
    const { link, checker } = transfer(20_000_000, { delay: 50, rate: 12_500, queue: 2_000_000 })
    expect(checker.received).toBe(20_000_000)
    expect(link.now).toBeLessThan(4000)
  })

  it('in both directions at once is the same', () => {
    const total = 2_000_000
    const { link, client, accepted } = pair({ delay: 3, loss: 0.01 })
    const left = new User(client)
    link.until(() => accepted.length === 1)
    const right = new User(accepted[0]!)
    client.write(pattern(total))
    accepted[0]!.write(pattern(total))
    client.shutdown()
    accepted[0]!.shutdown()
    link.until(() => left.events.includes('close') && right.events.includes('close'))
    expect(Buffer.compare(left.take(), pattern(total))).toBe(0)
    expect(Buffer.compare(right.take(), pattern(total))).toBe(0)
  })
})

describe('back pressure', () => {
  it('stops the writer while nobody reads, and costs no more than the windows', () => {
    const { link, client, accepted } = pair({ delay: 1 })
    const left = new User(client)
    link.until(() => accepted.length === 1)
    const right = new User(accepted[0]!, false)
    let written = 0
    while (left.write(pattern(65_536))) written += 65_536
    link.run(5000)
    expect(written).toBeLessThan(2_000_000)
    expect(client.writeLength).toBeGreaterThan(500_000)
    expect(left.events).toEqual(['connect'])
    right.isReading = true
    right.read()
    link.until(() => client.writeLength === 0)
    expect(left.events).toEqual(['connect', 'drain'])
  })
})
