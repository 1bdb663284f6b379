import { describe, expect, it } from 'vitest'
import { CONTROL_BYTES, createRecordRing, RecordConsumer, RecordProducer } from '../../src/stack/record-ring.js'

const SIZE = 4096

const setUp = (start = 0) => {
  const ring = createRecordRing(SIZE)
  new Int32Array(ring).fill(start, 0, 2)
  const producer = new RecordProducer(ring)
  const consumer = new RecordConsumer(ring)
  const write = (length: number, value: number): boolean => {
    const at = producer.reserve(length)
    if (at < 0) return false
    producer.bytes.fill(value, at, at + length)
    producer.publish()
    return true
  }
  /** The value that all bytes of the oldest record have. */
  const read = (length: number): number => {
    const at = consumer.next()
    if (at < 0) return -1
    const values = new Set(consumer.bytes.slice(at, at + length))
    consumer.release(length)
    return values.size === 1 ? [...values][0]! : NaN
  }
  return { producer, consumer, write, read }
}

describe('a ring of records', () => {
  it('hands over records of any length in order, across its end and the ends of its counters', () => {
    for (const start of [0, 0x7ffff000, -0x1000]) {
      const { write, read } = setUp(start)
      for (let round = 0; round < 2000; round++) {
        const length = 1 + (round * 37) % 900
        expect(write(length, round % 200)).toBe(true)
        expect(read(length)).toBe(round % 200)
      }
      expect(read(1)).toBe(-1)
    }
  })

  it('keeps a record until it is released', () => {
    const { write, consumer } = setUp()
    write(8, 7)
    expect([consumer.next(), consumer.next()]).toEqual([CONTROL_BYTES, CONTROL_BYTES])
    consumer.release(8)
    expect(consumer.next()).toBe(-1)
  })

  it('has no room while it is full, and hands over nothing that was not published', () => {
    const { producer, write, read } = setUp()
    for (let record = 0; record < 4; record++) expect(write(1024, record)).toBe(true)
    expect(write(1, 9)).toBe(false)
    expect(read(1024)).toBe(0)
    expect(producer.reserve(1025)).toBe(-1)
    expect(producer.reserve(1024)).toBe(CONTROL_BYTES)
    expect([1, 2, 3].map(() => read(1024))).toEqual([1, 2, 3])
    expect(read(1024)).toBe(-1)
  })
})
