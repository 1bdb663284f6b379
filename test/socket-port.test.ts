/** The data plane's end of the rings to the sockets: what goes up and comes down, when the other end is woken, and what happens when there is no room. */
import { describe, expect, it } from 'vitest'
import { RingNetwork } from '../src/control/ring-network.js'
import { Drop } from '../src/drop.js'
import { ASLEEP, createSocketRings, PACKET_OFFSET, type SocketRings } from '../src/socket-ring.js'
import { SocketPort } from '../src/socket-port.js'
import { createSlab, HEADROOM } from '../src/stack/batch.js'
import { Packet } from '../src/stack/parse.js'
import { createRecordRing } from '../src/stack/record-ring.js'
import type { Arrival, NetworkUser } from '../src/stack/sockets/network.js'
import { LENGTH as VNET_BYTES } from '../src/stack/wire/vnet.js'
import { ip } from './stack/support.js'

const SLAB_BYTES = 1 << 20
/** Of the slab, where packets of the sockets are put. */
const REGION = { start: 1 << 19, end: SLAB_BYTES }
const ARRIVAL: Arrival = { socket: -1, originalAddress: 0, originalPort: -1, interface: 3, mark: 0 }

interface Bed {
  readonly port: SocketPort
  readonly network: RingNetwork
  readonly rings: SocketRings
  /** Hands a packet of so many bytes up, each of them `value`; its virtio header is `value + 1`. */
  deliver(length: number, value: number, arrival?: Partial<Arrival>): number
  /** Sends a packet down. Returns false when there is no room. */
  send(length: number, value: number, socket?: number): boolean
  /** What the sockets were told, in words. */
  readonly heard: string[]
}

const setUp = ({ rings = createSocketRings(), region = REGION, user = {} }: { rings?: SocketRings; region?: typeof REGION; user?: Partial<NetworkUser> } = {}): Bed => {
  const slab = createSlab(SLAB_BYTES)
  const port = new SocketPort(rings, slab, region)
  const network = new RingNetwork({ rings, mtu: () => 1500, addresses: () => new Set(), broadcasts: () => new Set(), signal: () => {} })
  const heard: string[] = []
  network.user = {
    receive: ({ bytes }, at, length, { socket, originalAddress, originalPort, interface: number, mark }) => {
      const values = new Set(bytes.slice(at, at + length))
      const vnet = new Set(bytes.slice(at - VNET_BYTES, at))
      heard.push(`packet ${length} of ${[...values].join()} vnet ${[...vnet].join()} for ${socket} from ${number} mark ${mark} original ${originalAddress}:${originalPort}`)
    },
    settle: () => {},
    path: (socket, source, mtu) => void heard.push(`path ${socket} ${source} ${mtu}`),
    taken: (socket, source) => void heard.push(`taken ${socket} ${source}`),
    refused: (socket, errno) => void heard.push(`refused ${socket} ${errno}`),
    room: () => void heard.push('room'),
    ...user,
  }
  const packet = new Packet()
  return {
    port, network, rings, heard,
    deliver(length, value, arrival = {}) {
      packet.at = HEADROOM
      packet.length = length
      slab.bytes.fill(value, packet.at, packet.at + length).fill(value + 1, packet.at - VNET_BYTES, packet.at)
      return port.deliver(packet, null, { ...ARRIVAL, ...arrival })
    },
    send(length, value, socket = 7) {
      const at = network.reserve(length)
      if (at < 0) return false
      network.slab.bytes.fill(value, at, at + length)
      network.send(at, length, socket)
      return true
    },
  }
}

/** Rings with room for so few bytes of records. */
const smallRings = (bytes: number): SocketRings => ({ down: createRecordRing(bytes), up: createRecordRing(bytes) })

describe('up to the sockets', () => {
  it('go packets with their virtio header and what is known of them, and what sockets are told, in order', () => {
    const { deliver, port, network, heard } = setUp()
    expect(deliver(1500, 1, { socket: 5, originalAddress: ip('198.51.100.10'), originalPort: 443, interface: 2, mark: 0xfedcba98 })).toBe(0)
    port.path(5, ip('10.0.0.1'), 1400)
    port.taken(6, ip('10.0.0.2'))
    expect(deliver(33, 8)).toBe(0)
    port.refused(7, 113)
    network.pump()
    expect(heard).toEqual([
      `packet 1500 of 1 vnet 2 for 5 from 2 mark ${0xfedcba98} original ${ip('198.51.100.10')}:443`,
      `path 5 ${ip('10.0.0.1')} 1400`, `taken 6 ${ip('10.0.0.2')}`, 'packet 33 of 8 vnet 9 for -1 from 3 mark 0 original 0:-1', 'refused 7 113',
    ])
  })

  it('a full ring loses packets, and says so; those that are in it stay whole', () => {
    const { deliver, network, heard } = setUp({ rings: smallRings(4096) })
    const results = [1, 2, 3, 4, 5].map((value) => deliver(1000, value))
    const fit = Math.floor(4096 / ((PACKET_OFFSET + 1000 + 7) & ~7))
    expect(results).toEqual(results.map((_, index) => (index < fit ? 0 : Drop['socket-queue-full'])))
    network.pump()
    expect(heard.map((line) => line.split(' ')[3])).toEqual(['1', '2', '3'].slice(0, fit))
    expect(deliver(1000, 9)).toBe(0)
  })

  it('the sleeping sockets\' thread is woken once a turn, and only if something came', async () => {
    const { deliver, network, port, rings } = setUp()
    let woken = 0
    network.wake = () => void woken++
    expect(network.pump()).toBe(0)
    port.wake()
    await new Promise((resolve) => setImmediate(resolve))
    expect([woken, Atomics.load(new Int32Array(rings.up), ASLEEP)]).toEqual([0, 1])
    deliver(100, 1)
    deliver(100, 2)
    port.wake()
    port.wake()
    await expect.poll(() => woken).toBe(1)
    network.close()
  })
})

describe('down from the sockets', () => {
  it('come packets with the socket that sent them, at places of their own in the slab', () => {
    const { send, port } = setUp()
    for (const [length, value] of [[20, 1], [1500, 2], [65_535, 3]] as const) expect(send(length, value, value * 10)).toBe(true)
    const taken: [at: number, length: number, socket: number][] = []
    expect(port.hasSome).toBe(true)
    expect(port.take((at, length, socket) => void taken.push([at, length, socket]))).toBe(false)
    expect(taken.map(([, length, socket]) => [length, socket])).toEqual([[20, 10], [1500, 20], [65_535, 30]])
    for (const [index, [at, length]] of taken.entries()) {
      expect(at - HEADROOM).toBeGreaterThanOrEqual(index === 0 ? REGION.start : taken[index - 1]![0] + taken[index - 1]![1])
      expect(at + length).toBeLessThanOrEqual(REGION.end)
    }
    expect(port.hasSome).toBe(false)
  })

  it('are taken some at a time, as many as there is room for', () => {
    const { send, port } = setUp({ region: { start: 1 << 19, end: (1 << 19) + 4096 } })
    for (let value = 0; value < 5; value++) send(1500, value)
    const turns: number[] = []
    for (let isMore = true; isMore;) {
      let count = 0
      isMore = port.take(() => void count++)
      turns.push(count)
    }
    expect(turns).toEqual([2, 2, 1])
    for (let value = 0; value < 100; value++) send(20, value)
    let all = 0
    while (port.take(() => void all++)) expect(all).toBeLessThan(100)
    expect(all).toBe(100)
  })

  it('a thread that has said it sleeps is signalled once, by the first packet', () => {
    const { port, rings } = setUp()
    let signals = 0
    const network = new RingNetwork({ rings, mtu: () => 1500, addresses: () => new Set(), broadcasts: () => new Set(), signal: () => void signals++ })
    const send = (): void => network.send(network.reserve(100), 100, 1)
    send()
    expect([signals, port.maySleep()]).toEqual([0, false])
    port.take(() => {})
    expect(port.maySleep()).toBe(true)
    send()
    send()
    expect([signals, port.maySleep()]).toEqual([1, false])
  })

  it('who found no room hears of it when there is some again', async () => {
    const { send, port, network, heard } = setUp({ rings: smallRings(4096) })
    let count = 0
    while (send(1000, count)) count++
    expect(count).toBeGreaterThan(1)
    expect(network.pump()).toBe(0)
    const woken = new Promise<void>((resolve) => { network.wake = resolve })
    expect(heard).toEqual([])
    port.take(() => {})
    port.wake()
    await woken
    network.pump()
    expect(heard).toEqual(['room'])
    expect(send(1000, 0)).toBe(true)
    network.close()
  })

  it('room that comes to be while somebody finds none is not missed', () => {
    const rings = smallRings(4096)
    const bed = setUp({ rings })
    for (let value = 0; value < 3; value++) expect(bed.send(1000, value)).toBe(true)
    bed.network.pump()
    // The data plane empties the ring between the look at it and the word that there was no room.
    const { store } = Atomics
    let emptied = false
    Atomics.store = ((array: Int32Array, index: number, value: number) => {
      if (!emptied && array.buffer === rings.down && value === 1 && index !== ASLEEP) {
        emptied = true
        while (bed.port.hasSome) bed.port.take(() => {})
        bed.port.wake()
        expect(bed.port.maySleep()).toBe(true)
      }
      return store(array, index, value)
    }) as typeof Atomics.store
    try {
      expect(bed.send(1000, 2)).toBe(true)
    } finally {
      Atomics.store = store
    }
    expect(emptied).toBe(true)
  })

  it('room that comes to be just before the sockets\' thread sleeps wakes it', async () => {
    const bed = setUp({ rings: smallRings(4096), user: { settle: () => {} } })
    while (bed.send(1000, 1));
    let woken = 0
    bed.network.wake = () => void woken++
    // After it has looked whether there is room, before it says that it sleeps.
    bed.network.user.settle = () => {
      bed.network.user.settle = () => {}
      bed.port.take(() => {})
      bed.port.wake()
    }
    const more = bed.network.pump()
    await new Promise((resolve) => setImmediate(resolve))
    expect(more > 0 || woken > 0).toBe(true)
    bed.network.pump()
    expect(bed.heard).toEqual(['room'])
    bed.network.close()
  })
})
