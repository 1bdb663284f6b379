import { beforeEach, describe, expect, it } from 'vitest'
import type { Slab } from '../../../src/stack/batch.js'
import { MemoryDevice } from '../../../src/stack/device/memory.js'
import { DeviceNetwork } from '../../../src/stack/sockets/device-network.js'
import { type Arrival, type NetworkUser, NO_SOCKET } from '../../../src/stack/sockets/network.js'
import { checkPacket } from '../../../src/testing/check-packet.js'
import { buildUdp } from '../../../src/testing/packets.js'
import { bytesOf, destinationOf, ip, only, sourceOf, unfinish, writeVnet } from '../support.js'

/** Writes down what it is told. */
class Diary implements NetworkUser {
  readonly lines: string[] = []
  readonly packets: Uint8Array[] = []
  onReceive = (): void => {}

  receive({ bytes }: Slab, at: number, length: number, { interface: number, socket, originalPort }: Arrival): void {
    const packet = bytes.slice(at, at + length)
    this.packets.push(packet)
    this.lines.push(`receive ${sourceOf(packet)} > ${destinationOf(packet)} ${length} by ${number} for ${socket}, original port ${originalPort}`)
    this.onReceive()
  }

  settle(): void {
    this.lines.push('settle')
  }

  path(socket: number, source: number, mtu: number): void {
    this.lines.push(`path ${socket} ${source === ip(HOST) ? HOST : source} ${mtu}`)
  }

  taken(): void {
    this.lines.push('taken')
  }

  refused(socket: number, errno: number): void {
    this.lines.push(`refused ${socket} ${errno}`)
  }

  room(): void {
    this.lines.push('room')
  }

  take(): string[] {
    return this.lines.splice(0)
  }
}

const HOST = '10.0.0.2'
const SECOND = '192.168.7.9'
const PEER = '10.0.0.9'

describe('DeviceNetwork', () => {
  let device: MemoryDevice
  let network: DeviceNetwork
  let diary: Diary

  const make = (mtu = 1500): void => {
    device = new MemoryDevice()
    network = new DeviceNetwork({ device, addresses: [`${HOST}/24`, `${SECOND}/30`], mtu })
    diary = new Diary()
    network.user = diary
  }
  beforeEach(() => make())

  /** As a socket sends it: built in the slab, its checksum left to the network. */
  const send = (packet: Uint8Array, socket = 3): boolean => {
    const { bytes, vnet } = unfinish(packet)
    const at = network.reserve(bytes.length)
    if (at < 0) return false
    network.slab.bytes.set(bytes, at)
    writeVnet(network.slab.view, at - 10, vnet)
    network.send(at, bytes.length, socket)
    return true
  }
  const udp = (source: string, destination: string, length = 10, df = false): Uint8Array =>
    buildUdp({ source, destination, sourcePort: 1000, destinationPort: 2000, payload: bytesOf(length), df, id: 77 })

  it('knows its own addresses and the broadcasts of its networks', () => {
    const local = (text: string): boolean => network.isLocal(ip(text))
    expect([HOST, SECOND, '127.0.0.1', '127.200.0.1', '0.0.0.0'].map(local)).toEqual([true, true, true, true, true])
    expect([PEER, '10.0.0.255', '255.255.255.255'].map(local)).toEqual([false, false, false])
    expect(['10.0.0.255', '192.168.7.11', '255.255.255.255', '10.0.0.0', HOST].map((text) => network.isBroadcast(ip(text)))).toEqual([true, true, true, false, false])
  })

  it('refuses what is no address, and an MTU that IPv4 does not have', () => {
    for (const address of ['10.0.0.300/24', '127.0.0.1/8', '224.0.0.1', '0.0.0.0/0', 'x']) {
      expect(() => new DeviceNetwork({ device, addresses: [address] })).toThrow(`"${address}" is no address of a host`)
    }
    expect(() => new DeviceNetwork({ device, addresses: [] })).toThrow('without an address')
    expect(() => new DeviceNetwork({ device, addresses: [HOST], mtu: 67 })).toThrow('an MTU of 67 bytes')
  })

  it('sends in batches, with whole checksums where the device makes none', () => {
    send(udp(HOST, PEER))
    send(udp(HOST, PEER, 1472, true))
    expect(device.sent).toEqual([])
    network.flush()
    const sent = device.takeSent()
    expect(sent.map(({ bytes }) => [bytes.length, checkPacket(bytes)])).toEqual([[38, []], [1500, []]])
    expect(diary.take()).toEqual([])
  })

  it('fills in the source that a socket left open, and tells it before an answer can come', () => {
    send(udp('0.0.0.0', PEER), 5)
    send(udp('0.0.0.0', '192.168.7.10'), 6)
    send(udp('0.0.0.0', '8.8.8.8'), NO_SOCKET)
    network.pump()
    const sent = device.takeSent()
    expect(sent.map(({ bytes }) => sourceOf(bytes))).toEqual([HOST, SECOND, HOST])
    expect(sent.flatMap(({ bytes }) => checkPacket(bytes))).toEqual([])
    expect(diary.take()).toEqual([`path 5 ${HOST} 1500`, `path 6 ${ip(SECOND)} 1500`, 'settle'])
  })

  it('leaves checksums right that are whole already', () => {
    const packet = udp('0.0.0.0', PEER)
    const at = network.reserve(packet.length)
    network.slab.bytes.set(packet, at)
    network.send(at, packet.length, 1)
    network.flush()
    expect(checkPacket(only(device.takeSent()))).toEqual([])
  })

  it('cuts long datagrams into fragments, and refuses those that may not be cut', () => {
    make(576)
    const packet = udp(HOST, PEER, 60000)
    send(packet)
    send(udp(HOST, PEER, 600, true), 9)
    network.flush()
    const sent = device.takeSent().map(({ bytes }) => bytes)
    expect(sent.flatMap((bytes) => checkPacket(bytes))).toEqual([])
    expect(Math.max(...sent.map(({ length }) => length))).toBeLessThanOrEqual(576)
    expect(Buffer.concat(sent.map((bytes) => bytes.subarray(20))).equals(packet.subarray(20))).toBe(true)
    expect(diary.take()).toEqual(['refused 9 90'])
  })

  it('cuts the longest datagram for the smallest MTU', () => {
    make(68)
    send(udp(HOST, PEER, 65507))
    send(udp(HOST, PEER, 65507))
    network.flush()
    expect(device.takeSent()).toHaveLength(2 * Math.ceil(65515 / 48))
    expect(network.lost).toBe(0)
  })

  it('receives what is for this host, and nothing else', () => {
    for (const destination of [HOST, '10.0.0.255', PEER, '127.0.0.1', '0.0.0.0', '224.0.0.1']) device.push(udp(PEER, destination))
    for (const source of [HOST, '127.0.0.1']) device.push(udp(source, HOST))
    device.push(new Uint8Array(7))
    expect(network.pump()).toBe(9)
    expect(diary.take()).toEqual([
      `receive ${PEER} > ${HOST} 38 by 2 for -1, original port -1`, `receive ${PEER} > 10.0.0.255 38 by 2 for -1, original port -1`, 'settle',
    ])
    expect(network.strays).toBe(7)
  })

  it('takes packets to itself round, at the next pump', () => {
    const packet = udp(HOST, HOST)
    send(packet)
    send(udp('0.0.0.0', '127.0.0.1'))
    diary.onReceive = () => {
      if (diary.packets.length < 4) send(udp('127.0.0.1', '127.0.0.1', diary.packets.length))
    }
    expect(network.pump()).toBe(2)
    expect(diary.take()).toEqual([
      `path 3 ${0x7f000001} 1500`,
      `receive ${HOST} > ${HOST} 38 by 1 for -1, original port -1`, 'receive 127.0.0.1 > 127.0.0.1 38 by 1 for -1, original port -1', 'settle',
    ])
    expect([network.pump(), network.pump(), network.pump()]).toEqual([2, 1, 0])
    expect(diary.packets.map(({ length }) => length)).toEqual([38, 38, 29, 30, 31])
    expect(device.sent).toEqual([])
    expect(network.strays).toBe(0)
  })

  it('says when the loopback is full, and when it has room again; nothing is lost', () => {
    let sent = 0
    while (send(udp(HOST, HOST, 60000))) sent++
    expect(sent).toBeGreaterThanOrEqual(16)
    network.flush()
    expect(diary.take()).toEqual([])
    expect(network.pump()).toBe(sent)
    expect(diary.take().at(-1)).toBe('room')
    expect(diary.packets.every(({ length }) => length === 60028)).toBe(true)
    expect(network.reserve(60000)).toBeGreaterThan(0)
  })

  it('has room for the device always', () => {
    for (let count = 0; count < 100; count++) expect(send(udp(HOST, PEER, 60000))).toBe(true)
    network.flush()
    expect(device.takeSent()).toHaveLength(100 * Math.ceil(60008 / 1480))
  })

  it('wakes its driver once for all that waits, and not while it pumps', () => {
    let woken = 0
    network.wake = () => woken++
    send(udp(HOST, PEER))
    send(udp(HOST, PEER))
    expect(woken).toBe(1)
    device.push(udp(PEER, HOST))
    diary.onReceive = () => void send(udp(HOST, PEER))
    network.pump()
    expect(woken).toBe(1)
    send(udp(HOST, PEER))
    expect(woken).toBe(2)
    network.flush()
    expect(device.takeSent()).toHaveLength(4)
  })

  it('goes on after a user\'s code has thrown', () => {
    let woken = 0
    network.wake = () => woken++
    diary.settle = () => {
      throw new Error('of the user')
    }
    expect(() => network.pump()).toThrow('of the user')
    send(udp(HOST, PEER))
    expect(woken).toBe(1)
    network.flush()
    expect(device.takeSent()).toHaveLength(1)
  })

  it('says that its device is gone', () => {
    device.vanish(19)
    expect(network.pump()).toBe(-19)
  })
})
