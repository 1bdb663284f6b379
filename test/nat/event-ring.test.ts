import { describe, expect, it } from 'vitest'
import { createEventRing, EVENT_NEW, EventConsumer, EventProducer, RECORD_FLOW, RECORD_TIME, RECORD_TYPE, WANT_FLOWS } from '../../src/nat/event-ring.js'

const setUp = (records = 4) => {
  const ring = createEventRing(records)
  const producer = new EventProducer(ring)
  const consumer = new EventConsumer(ring)
  const write = (flow: number): boolean => {
    const at = producer.reserve()
    if (at < 0) return false
    producer.words[at + RECORD_TYPE] = EVENT_NEW
    producer.words[at + RECORD_FLOW] = flow
    producer.times[at / 2 + RECORD_TIME] = flow + 0.5
    producer.publish()
    return true
  }
  const read = (): [number, number] | undefined => (consumer.read() ? [consumer.words[RECORD_FLOW]!, consumer.times[RECORD_TIME]!] : undefined)
  return { producer, consumer, write, read }
}

describe('the event ring', () => {
  it('hands records over in order, many times round', () => {
    const { write, read } = setUp()
    for (let flow = 0; flow < 1000; flow += 3) {
      for (const one of [0, 1, 2]) expect(write(flow + one)).toBe(true)
      for (const one of [0, 1, 2]) expect(read()).toEqual([flow + one, flow + one + 0.5])
      expect(read()).toBeUndefined()
    }
  })

  it('counts what does not fit and keeps what is there', () => {
    const { write, read, consumer } = setUp()
    expect([1, 2, 3, 4, 5, 6].map(write)).toEqual([true, true, true, true, false, false])
    expect(consumer.missed).toBe(2)
    expect(read()).toEqual([1, 1.5])
    expect(write(7)).toBe(true)
    expect([read(), read(), read(), read()].map((record) => record?.[0])).toEqual([2, 3, 4, 7])
    expect(consumer.missed).toBe(2)
  })

  it('says what is wanted, and forgets what is older than the first wish', () => {
    const { producer, consumer, write, read } = setUp()
    expect(producer.wanted).toBe(0)
    write(1)
    consumer.want(WANT_FLOWS)
    expect(producer.wanted).toBe(WANT_FLOWS)
    expect(read()).toBeUndefined()
    write(2)
    consumer.want(0)
    expect(producer.wanted).toBe(0)
    expect(read()?.[0]).toBe(2)
  })

  it('has a power of two of records', () => {
    for (const records of [0, 3, 100]) expect(() => createEventRing(records)).toThrow(RangeError)
  })
})
