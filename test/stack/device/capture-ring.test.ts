import { once } from 'node:events'
import { setImmediate } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { rolldown } from 'rolldown'
import { describe, expect, it } from 'vitest'
import {
  CaptureConsumer,
  CaptureProducer,
  createCaptureRing,
  DIRECTION_IN,
  DIRECTION_OUT,
  RING_MIN,
} from '../../../src/stack/device/capture-ring.js'

const filled = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value)

const dataUrl = (code: string): URL => new URL(`data:text/javascript;base64,${Buffer.from(code).toString('base64')}`)

/** The ring as one JavaScript module, for a thread that does not read TypeScript. */
const bundled = async (): Promise<URL> => {
  const input = fileURLToPath(new URL('../../../src/stack/device/capture-ring.ts', import.meta.url))
  const bundle = await rolldown({ input, platform: 'node' })
  const { output } = await bundle.generate({ format: 'esm' })
  await bundle.close()
  return dataUrl(output[0].code)
}

const PRODUCER = `
  import { workerData } from 'node:worker_threads'
  import { CaptureProducer } from 'MODULE'
  const producer = new CaptureProducer(workerData.ring)
  const packet = new Uint8Array(1100)
  for (let i = 0; i < workerData.total; i++) {
    const length = 64 + i % 1000
    packet[0] = packet[length - 1] = i & 0xff
    producer.write(packet, 0, length, 0, 0, i)
    packet[length - 1] = 0
  }
`

describe('capture ring', () => {
  it('hands over what was written, in order', () => {
    const ring = createCaptureRing(RING_MIN)
    const producer = new CaptureProducer(ring)
    const consumer = new CaptureConsumer(ring)
    const slab = Uint8Array.from({ length: 100 }, (_, i) => i)
    expect(producer.write(slab, 10, 21, 0, DIRECTION_IN, 1_700_000_000_123_456)).toBe(true)
    expect(producer.write(slab, 0, 3, 1, DIRECTION_OUT, 1_700_000_000_123_457)).toBe(true)
    expect(consumer.read()).toEqual({
      timestamp: 1_700_000_000_123_456,
      side: 0,
      direction: DIRECTION_IN,
      originalLength: 21,
      bytes: slab.slice(10, 31),
      missed: 0,
    })
    expect(consumer.read()).toMatchObject({ side: 1, direction: DIRECTION_OUT, bytes: Uint8Array.of(0, 1, 2) })
    expect(consumer.read()).toBeUndefined()
  })

  it('cuts packets at the snapshot length and keeps the original length', () => {
    const ring = createCaptureRing(RING_MIN, 64)
    new CaptureProducer(ring).write(filled(1500, 7), 0, 1500, 0, DIRECTION_IN, 0)
    const record = new CaptureConsumer(ring).read()
    expect(record?.originalLength).toBe(1500)
    expect(record?.bytes).toEqual(filled(64, 7))
  })

  it('counts what does not fit, for its side, and tells the next record of that side', () => {
    const ring = createCaptureRing(RING_MIN)
    const producer = new CaptureProducer(ring)
    const consumer = new CaptureConsumer(ring)
    const packet = filled(65535, 1)
    let written = 0
    while (producer.write(packet, 0, 65535, 0, DIRECTION_IN, written)) written++
    expect(written).toBe(3)
    expect(producer.write(packet, 0, 65535, 1, DIRECTION_IN, 0)).toBe(false)
    expect(producer.write(packet, 0, 65535, 1, DIRECTION_IN, 0)).toBe(false)
    expect([consumer.missed(0), consumer.missed(1), consumer.missed(2)]).toEqual([1, 2, 0])

    for (let i = 0; i < written; i++) expect(consumer.read()).toMatchObject({ timestamp: i, missed: 0 })
    producer.write(packet, 0, 10, 1, DIRECTION_IN, 0)
    producer.write(packet, 0, 10, 0, DIRECTION_IN, 0)
    producer.write(packet, 0, 10, 0, DIRECTION_IN, 0)
    expect([consumer.read()?.missed, consumer.read()?.missed, consumer.read()?.missed]).toEqual([2, 1, 0])
    expect([consumer.missed(0), consumer.missed(1)]).toEqual([1, 2])
  })

  it('wraps for ever: a million records of changing sizes, none torn', () => {
    const ring = createCaptureRing(RING_MIN, 300)
    const producer = new CaptureProducer(ring)
    const consumer = new CaptureConsumer(ring)
    const slab = Uint8Array.from({ length: 700 }, (_, i) => i)
    let torn = 0
    for (let i = 0; i < 1_000_000; i++) {
      const length = (i * 37) % 300
      if (!producer.write(slab, i % 256, length, 0, DIRECTION_IN, i)) torn++
      if (i % 3 === 2) {
        for (let j = i - 2; j <= i; j++) {
          const record = consumer.read()!
          const { bytes } = record
          if (record.timestamp !== j || bytes.length !== (j * 37) % 300) torn++
          if (bytes.length > 0 && (bytes[0] !== j % 256 || bytes.at(-1) !== (j + bytes.length - 1) % 256)) torn++
        }
      }
    }
    expect(torn).toBe(0)
  })

  it('keeps its place when the counters pass 2^31 and 2^32', () => {
    const ring = createCaptureRing(RING_MIN)
    for (const start of [0x7fffff00, -0x100]) {
      new Int32Array(ring).fill(start, 0, 2)
      const producer = new CaptureProducer(ring)
      const consumer = new CaptureConsumer(ring)
      for (let i = 0; i < 50; i++) {
        expect(producer.write(filled(200, i), 0, 200, 0, DIRECTION_IN, i)).toBe(true)
        expect(consumer.read()).toMatchObject({ timestamp: i, bytes: filled(200, i) })
      }
    }
  })

  it('refuses sizes it cannot work with', () => {
    for (const size of [0, 1000, RING_MIN / 2, RING_MIN + 8, 2 ** 31, Number.NaN]) {
      expect(() => createCaptureRing(size)).toThrow(expect.objectContaining({ code: 'CAPTURE_RING' }))
    }
    for (const snap of [0, -1, 65536, 1.5]) {
      expect(() => createCaptureRing(RING_MIN, snap)).toThrow(expect.objectContaining({ code: 'CAPTURE_RING' }))
    }
  })

  it('works between threads: every record whole and in order, every gap told', async () => {
    const total = 300_000
    const ring = createCaptureRing(RING_MIN)
    const consumer = new CaptureConsumer(ring)
    const worker = new Worker(dataUrl(PRODUCER.replace('MODULE', (await bundled()).href)), { workerData: { ring, total } })
    const ended = once(worker, 'exit')
    let exited = false
    void ended.then(() => (exited = true))
    let seen = 0
    let missed = 0
    let wrong = 0
    let next = 0
    for (;;) {
      const last = exited
      for (let record = consumer.read(); record !== undefined; record = consumer.read()) {
        missed += record.missed
        next += record.missed
        const value = next & 0xff
        const { bytes } = record
        if (record.timestamp !== next || bytes.length !== 64 + (next % 1000)) wrong++
        else if (bytes[0] !== value || bytes.at(-1) !== value) wrong++
        next++
        seen++
      }
      if (last) break
      await setImmediate()
    }
    expect(wrong).toBe(0)
    expect(missed).toBeLessThanOrEqual(consumer.missed(0))
    expect(seen + consumer.missed(0)).toBe(total)
    expect(seen).toBeGreaterThan(0)
  })
})
