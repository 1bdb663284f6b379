/**
 * Many short connections one after the other, and floods: what a stack holds afterwards is what it held before. By an injected clock.
 * TSNAT_SOAK_CONNECTIONS says how many; 100 000 unless it is set.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it } from 'vitest'
import type { TcpEndpoint, TcpEvents } from '../../../src/stack/sockets/tcp/endpoint.js'
import * as tcp from '../../../src/stack/wire/tcp.js'
import { buildTcp } from '../../../src/testing/packets.js'
import { StackLink } from '../../../src/testing/stack-link.js'
import { ip } from '../support.js'

const CONNECTIONS = Number(process.env.TSNAT_SOAK_CONNECTIONS ?? 100_000)
/** Connections at a time. */
const WAVE = 500
const LEFT = '10.0.0.1'
const RIGHT = '10.0.0.2'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

const heap = (): number => {
  collectGarbage()
  return process.memoryUsage().heapUsed
}

const REQUEST = new TextEncoder().encode('a question of some bytes')
const NOTHING: TcpEvents = { onConnect: () => {}, onReadable: () => {}, onDrain: () => {}, onFinish: () => {}, onError: () => {}, onClose: () => {} }

/** Reads what there is, has `take` do something with it, and closes the endpoint when the other side has ended. */
const drain = (endpoint: TcpEndpoint, take: (length: number) => void): void => {
  for (let bytes = endpoint.read(); bytes !== null; bytes = endpoint.read()) {
    if (bytes === 'end') {
      endpoint.close()
      return
    }
    take(bytes.length)
  }
}

describe('a stack over a long time', () => {
  it(`has an empty table and a flat heap after ${CONNECTIONS} connections`, () => {
    const link = new StackLink({ delay: 0.5, capacity: 65_536, loss: 0.001, reorder: 0.01 })
    const { left, right } = link
    let answered = 0
    let served = 0
    let failed = 0
    right.stack.tcp.listen({ port: 80 }).onConnection = (endpoint) => {
      endpoint.events = {
        ...NOTHING,
        onReadable: () => drain(endpoint, (length) => endpoint.write(new Uint8Array(length))),
        onClose: () => served++,
      }
    }
    const ask = (): void => {
      const endpoint = left.stack.tcp.connect({ address: ip(RIGHT), port: 80 })
      let length = 0
      endpoint.events = {
        ...NOTHING,
        onConnect: () => {
          endpoint.write(REQUEST)
          endpoint.shutdown()
        },
        onReadable: () => drain(endpoint, (more) => (length += more)),
        onError: () => failed++,
        onClose: () => {
          if (length === REQUEST.length) answered++
        },
      }
    }
    let before = 0
    for (let done = 0; done < CONNECTIONS; done += WAVE) {
      for (let count = 0; count < WAVE; count++) ask()
      link.until(() => answered + failed === done + WAVE)
      // Connections in TIME_WAIT are there by now, as many as ever will be.
      if (done === Math.min(40_000, CONNECTIONS / 2)) before = heap()
    }
    const after = heap()
    link.run(300_000)
    expect({ answered, served, failed }).toEqual({ answered: CONNECTIONS, served: CONNECTIONS, failed: 0 })
    expect([left.stack.table.count, right.stack.table.count]).toEqual([0, 1])
    expect((after - before) / 1e6).toBeLessThan(8)
    expect((heap() - before) / 1e6).toBeLessThan(8)
  }, 120_000)

  it('lets others connect during a flood of SYNs, and forgets the flood', () => {
    const link = new StackLink({ capacity: 4096 })
    let accepted = 0
    link.right.stack.tcp.listen({ port: 80, backlog: 128 }).onConnection = (endpoint) => {
      accepted++
      endpoint.events = { ...NOTHING, onReadable: () => drain(endpoint, () => {}) }
    }
    let connected = 0
    let ended = 0
    // From addresses that do not answer.
    link.dropToLeft((bytes) => bytes[16] === 192)
    for (let number = 0; number < 20_000; number++) {
      const source = `192.${number & 255}.${number >> 8}.1`
      link.injectRight(buildTcp({ source, destination: RIGHT, sourcePort: 1024 + (number % 60_000), destinationPort: 80, flags: tcp.SYN, sequence: number }))
      if (number % 1000 !== 999) continue
      const endpoint = link.left.stack.tcp.connect({ address: ip(RIGHT), port: 80 })
      endpoint.events = {
        ...NOTHING,
        onConnect: () => {
          connected++
          endpoint.close()
        },
        onClose: () => ended++,
      }
      link.run(10)
      expect(link.right.stack.table.count).toBeLessThan(200)
    }
    link.run(1000)
    expect([connected, accepted]).toEqual([20, 20])
    link.run(400_000)
    expect([ended, link.left.stack.table.count, link.right.stack.table.count]).toEqual([20, 0, 1])
  })

  it('answers a flood of segments for nobody without keeping anything', () => {
    const link = new StackLink()
    link.dropToLeft(() => true)
    const before = heap()
    for (let number = 0; number < 20_000; number++) {
      const flags = [tcp.SYN, tcp.ACK, tcp.FIN | tcp.ACK, tcp.RST, tcp.SYN | tcp.ACK][number % 5]!
      link.injectRight(buildTcp({ source: LEFT, destination: RIGHT, sourcePort: 1 + (number % 65_535), destinationPort: 1 + ((number * 7) % 65_535), flags, sequence: number }))
      if (number % 100 === 99) link.run(1)
    }
    link.run(1000)
    expect([link.right.stack.table.count, link.right.next]).toEqual([0, Infinity])
    expect((heap() - before) / 1e6).toBeLessThan(4)
  })
})
