/** The network of the gateway's sockets, with the data plane's end of its rings in another thread, as in a gateway. */
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { Worker } from 'node:worker_threads'
import { rolldown } from 'rolldown'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { RingNetwork } from '../../src/control/ring-network.js'
import type { SocketRings } from '../../src/socket-ring.js'
import { createRecordRing } from '../../src/stack/record-ring.js'
import { Driver } from '../../src/stack/sockets/driver.js'
import type { NetworkUser } from '../../src/stack/sockets/network.js'
import { ip } from '../stack/support.js'

/** Words that both threads have: the data plane is to look (its eventfd here), it shall end, packets that it has taken, those out of order, times it slept. */
const WAKE = 0
const END = 1
const TAKEN = 2
const WRONG = 3
const SLEPT = 4
const PACKETS = 60_000
/** The longest packet, bytes. */
const LONGEST = 1500

/** Takes packets, checks that none is missing, and sends each back up; what finds no room waits. It sleeps when there is nothing to do, for ever. */
const DATA_PLANE = `
import { workerData } from 'node:worker_threads'
import { SocketPort } from 'MODULE'
const { rings, words } = workerData
const slab = { bytes: new Uint8Array(1 << 20), view: null }
slab.view = new DataView(slab.bytes.buffer)
const port = new SocketPort(rings, slab, { start: 0, end: 1 << 17 })
const arrival = { socket: -1, originalAddress: 0, originalPort: -1, interface: 0, mark: 0 }
let wanted = 0
const held = []
const rise = (packet) => {
  arrival.socket = packet.socket
  arrival.mark = packet.number
  slab.view.setInt32(1 << 18, packet.number, true)
  return port.deliver({ at: 1 << 18, length: packet.length }, null, arrival) === 0
}
const take = (at, length, socket) => {
  const number = slab.view.getInt32(at, true)
  if (number !== wanted++ || socket !== number % 1000 || slab.view.getInt32(at + length - 4, true) !== number) Atomics.add(words, ${WRONG}, 1)
  Atomics.store(words, ${TAKEN}, wanted)
  held.push({ number, length, socket })
}
while (Atomics.load(words, ${END}) === 0) {
  const more = held.length < 64 && port.take(take)
  let at = 0
  while (at < held.length && rise(held[at])) at++
  held.splice(0, at)
  port.wake()
  if (more || !port.maySleep()) continue
  Atomics.add(words, ${SLEPT}, 1)
  // A full ring up is nothing that anybody signals: it is looked at again.
  Atomics.wait(words, ${WAKE}, 0, held.length > 0 ? 1 : Infinity)
  Atomics.store(words, ${WAKE}, 0)
}
`

const dataUrl = (code: string): URL => new URL(`data:text/javascript;base64,${Buffer.from(code).toString('base64')}`)
/** Below the root of the project, so that it finds the addon. */
let directory: string
let module: URL
beforeAll(async () => {
  const root = fileURLToPath(new URL('../..', import.meta.url))
  directory = mkdtempSync(join(root, 'native', 'build', 'test-'))
  const bundled = await rolldown({ input: join(root, 'src', 'socket-port.ts'), platform: 'node' })
  await bundled.write({ format: 'esm', file: join(directory, 'socket-port.mjs') })
  await bundled.close()
  module = pathToFileURL(join(directory, 'socket-port.mjs'))
})

const words = new Int32Array(new SharedArrayBuffer(32))
let worker: Worker
const startDataPlane = (rings: SocketRings): void => {
  words.fill(0)
  worker = new Worker(dataUrl(DATA_PLANE.replace('MODULE', module.href)), { workerData: { rings, words } })
}
const signal = (): void => {
  Atomics.store(words, WAKE, 1)
  Atomics.notify(words, WAKE)
}
afterAll(async () => {
  Atomics.store(words, END, 1)
  signal()
  await worker.terminate()
  rmSync(directory, { recursive: true })
})

describe('two threads', () => {
  it.each([
    ['rings that are always full', 1 << 14, Infinity],
    ['one packet at a time: both ends sleep after each', 1 << 16, 1],
    ['some at a time', 1 << 20, 300],
  ])('%s: nothing is lost or out of order, and whoever waits is woken', async (_, bytes, most) => {
    const rings: SocketRings = { down: createRecordRing(bytes), up: createRecordRing(bytes) }
    const network = new RingNetwork({ rings, mtu: () => LONGEST, addresses: () => new Set(), broadcasts: () => new Set(), signal })
    const count = most === 1 ? PACKETS / 10 : PACKETS
    let sent = 0
    let received = 0
    let wrong = 0
    let starved = 0
    let hasRoom = true
    const send = (): void => {
      const { view } = network.slab
      while (sent < count && sent - received < most) {
        const length = 20 + ((sent * 7919) % (LONGEST - 20))
        const at = network.reserve(length)
        hasRoom = at >= 0
        if (!hasRoom) return
        view.setInt32(at, sent, true)
        view.setInt32(at + length - 4, sent, true)
        network.send(at, length, sent % 1000)
        sent++
      }
    }
    let finish: () => void
    const finished = new Promise<void>((resolve) => (finish = resolve))
    const user: NetworkUser = {
      receive: ({ view }, at, length, { socket, mark }) => {
        const number = view.getInt32(at, true)
        if (number !== received || mark !== number || socket !== number % 1000 || length !== 20 + ((number * 7919) % (LONGEST - 20))) wrong++
        if (++received === count) finish()
      },
      // Only `room` tells who has found none.
      settle: () => { if (hasRoom) send() },
      path: () => {}, taken: () => {}, refused: () => {},
      room: () => {
        starved++
        send()
      },
    }
    network.user = user
    const driver = new Driver({ advance: () => {}, pump: () => network.pump(), next: Infinity })
    network.wake = driver.wake
    driver.hold()
    startDataPlane(rings)
    send()
    driver.wake()
    await finished
    expect({ sent, received, wrong, taken: words[TAKEN], wrongBelow: words[WRONG] }).toEqual({ sent: count, received: count, wrong: 0, taken: count, wrongBelow: 0 })
    if (most === Infinity) expect(starved).toBeGreaterThan(10)
    if (most === 1) expect(words[SLEPT]).toBeGreaterThan(count / 100)
    driver.release()
    driver.close()
    network.close()
    Atomics.store(words, END, 1)
    signal()
    await new Promise((resolve) => worker.once('exit', resolve))
  })
})

describe('what it knows', () => {
  const own = new Set([ip('203.0.113.1')])
  const network = new RingNetwork({
    rings: { down: createRecordRing(4096), up: createRecordRing(4096) },
    mtu: () => 9000, addresses: () => own, broadcasts: () => new Set([ip('203.0.113.255')]), signal: () => {},
  })

  it('own addresses are those of the gateway and of the loopback, as they are now', () => {
    expect(['0.0.0.0', '127.0.0.1', '127.9.9.9', '203.0.113.1', '203.0.113.2'].map((address) => network.isLocal(ip(address)))).toEqual([true, true, true, true, false])
    own.add(ip('203.0.113.2'))
    expect(network.isLocal(ip('203.0.113.2'))).toBe(true)
    expect(['255.255.255.255', '203.0.113.255', '203.0.113.1'].map((address) => network.isBroadcast(ip(address)))).toEqual([true, true, false])
    expect(network.mtu).toBe(9000)
  })

  it('once closed, it wakes nobody', async () => {
    const rings: SocketRings = { down: createRecordRing(4096), up: createRecordRing(4096) }
    const closing = new RingNetwork({ rings, mtu: () => 1500, addresses: () => own, broadcasts: () => own, signal: () => {} })
    let woken = 0
    closing.wake = () => void woken++
    expect(closing.pump()).toBe(0)
    closing.close()
    await new Promise((resolve) => setImmediate(resolve))
    expect(woken).toBe(0)
  })
})
