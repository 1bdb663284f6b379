import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { SendQueue } from '../../../../src/stack/sockets/tcp/send-queue.js'

/** The byte at a distance from the first of the connection. */
const byteAt = (offset: number) => (offset * 31 + (offset >>> 8) * 7) & 0xff
const bytesAt = (offset: number, length: number) => Uint8Array.from({ length }, (_, i) => byteAt(offset + i))

describe('SendQueue', () => {
  it('gives back what was written, across chunks and the wrap of sequence numbers', () => {
    const queue = new SendQueue(0x7ffffff0)
    queue.append(bytesAt(0, 2000))
    queue.append(bytesAt(2000, 5))
    queue.append(bytesAt(2005, 3000))
    expect(queue.end).toBe((0x7ffffff0 + 5005) | 0)
    const target = new Uint8Array(1500)
    queue.copy((0x7ffffff0 + 1900) | 0, 1498, target, 2)
    expect(target.subarray(2)).toEqual(bytesAt(1900, 1498))
  })

  it('takes an acknowledgement of more than it holds as one of all, and an old one as none', () => {
    const queue = new SendQueue(-10)
    queue.append(new Uint8Array(100))
    queue.acknowledge(-20)
    expect([queue.start, queue.length]).toEqual([-10, 100])
    queue.acknowledge(91)
    expect([queue.start, queue.end, queue.length]).toEqual([90, 90, 0])
  })

  it('is a list of bytes, whatever is written, copied and acknowledged', () => {
    const size = fc.oneof(fc.nat(3), fc.nat(1100), fc.integer({ min: 0, max: 70_000 }))
    const step = fc.oneof(
      fc.record({ kind: fc.constant('append' as const), size }),
      fc.record({ kind: fc.constant('many' as const), size: fc.nat(300), count: fc.nat(100) }),
      fc.record({ kind: fc.constant('acknowledge' as const), part: fc.double({ min: 0, max: 1, noNaN: true }) }),
      fc.record({ kind: fc.constant('copy' as const), from: fc.double({ min: 0, max: 1, noNaN: true }), size }),
    )
    fc.assert(fc.property(fc.integer(), fc.array(step, { maxLength: 40 }), (first, steps) => {
      const queue = new SendQueue(first)
      let start = 0
      let end = 0
      const append = (length: number) => {
        queue.append(bytesAt(end, length))
        end += length
      }
      for (const each of steps) {
        if (each.kind === 'append') append(each.size)
        else if (each.kind === 'many') for (let i = 0; i < each.count; i++) append(each.size)
        else if (each.kind === 'acknowledge') {
          start += Math.floor((end - start) * each.part)
          queue.acknowledge((first + start) | 0)
        } else {
          const from = start + Math.floor((end - start) * each.from)
          const length = Math.min(each.size, end - from)
          const target = new Uint8Array(length)
          queue.copy((first + from) | 0, length, target, 0)
          expect(Buffer.compare(target, bytesAt(from, length))).toBe(0)
        }
        expect([queue.start, queue.end, queue.length]).toEqual([(first + start) | 0, (first + end) | 0, end - start])
      }
    }), { numRuns: 100 })
  })
})
