/**
 * A network below a stack of sockets that is nothing but memory: what the stack sends is kept, as it was handed down and as it goes over
 * a wire, and packets are given to the stack one by one. It decides sources and path MTUs like a real one, and tells them late, as a
 * network in another thread does: before the next packet is given to the stack.
 */
import { createSlab, HEADROOM, type Slab } from '../../../src/stack/batch.js'
import { changeSource } from '../../../src/stack/change-source.js'
import { NO_OFFLOADS, type Offloads } from '../../../src/stack/device/device.js'
import { MemoryDevice, type SentPacket, type VnetHeader } from '../../../src/stack/device/memory.js'
import { Egress } from '../../../src/stack/egress.js'
import { Scratch } from '../../../src/stack/scratch.js'
import { wireLength } from '../../../src/stack/segment.js'
import { type Arrival, type Network, type NetworkUser, NO_SOCKET } from '../../../src/stack/sockets/network.js'
import * as ipv4 from '../../../src/stack/wire/ipv4.js'
import * as vnet from '../../../src/stack/wire/vnet.js'
import { checkPacket } from '../../../src/testing/check-packet.js'
import { describePacket } from '../../../src/testing/describe-packet.js'
import { ip, writeVnet } from '../support.js'

const INCOMING = 4096
const OUTGOING = 128 << 10
const SCRATCH = 256 << 10
const SIZE = 1 << 20

/** Everything that is possible; what is sent is cut and completed here before it is looked at. */
export const ALL_OFFLOADS: Offloads = { checksum: true, tcp: true, udp: true }

export interface MemoryNetworkOptions {
  /** Own addresses; the first is the source that routes choose. Default 10.0.0.1. */
  readonly addresses?: readonly string[]
  /** Bytes. Default 1500. */
  readonly mtu?: number
  readonly offloads?: Offloads
}

/** A packet that the stack handed down, and what becomes of it on the wire: more than one, when it is a superpacket. */
export interface Handed {
  /** Row of the socket, or NO_SOCKET. */
  readonly socket: number
  readonly bytes: Uint8Array
  readonly vnet: VnetHeader
  readonly wire: readonly Uint8Array[]
}

const vnetAt = (view: DataView, at: number): VnetHeader => ({
  flags: vnet.flags(view, at - vnet.LENGTH), gsoType: vnet.gsoType(view, at - vnet.LENGTH),
  headerLength: vnet.headerLength(view, at - vnet.LENGTH), gsoSize: vnet.gsoSize(view, at - vnet.LENGTH),
  checksumStart: vnet.checksumStart(view, at - vnet.LENGTH), checksumOffset: vnet.checksumOffset(view, at - vnet.LENGTH),
})

export class MemoryNetwork implements Network {
  readonly slab: Slab = createSlab(SIZE)
  readonly mtu: number
  readonly offloads: Offloads
  user!: NetworkUser
  /** Own addresses; the first is the source that routes choose. */
  readonly addresses: number[]
  /** What `path` says. Default: the MTU. */
  pathMtu: number
  /** `reserve` has no room while this is set. */
  isFull = false
  /** Told of each packet at once. */
  onSend: (handed: Handed) => void = () => undefined
  readonly #wire = new MemoryDevice()
  readonly #scratch = new Scratch({ start: SCRATCH, end: SIZE })
  readonly #egress: Egress
  /** What was told of each socket. */
  readonly #told = new Map<number, string>()
  readonly #untold: (() => void)[] = []
  #reserved = 0

  constructor({ addresses = ['10.0.0.1'], mtu = 1500, offloads = NO_OFFLOADS }: MemoryNetworkOptions = {}) {
    this.addresses = addresses.map(ip)
    this.mtu = mtu
    this.pathMtu = mtu
    this.offloads = offloads
    this.#egress = new Egress(this.slab, this.#wire, this.#scratch, 256)
  }

  isLocal(address: number): boolean {
    return address === 0 || address >>> 24 === 127 || this.addresses.includes(address)
  }

  isBroadcast(address: number): boolean {
    return address === -1 || this.addresses.some((own) => address === (own | 0xff))
  }

  reserve(length: number): number {
    if (this.isFull) return -1
    this.#reserved = length
    this.slab.bytes.fill(0xa5, OUTGOING, OUTGOING + length)
    this.slab.bytes.fill(0, OUTGOING - HEADROOM, OUTGOING)
    return OUTGOING
  }

  send(at: number, length: number, socket: number): void {
    if (at !== OUTGOING || length > this.#reserved) throw new Error(`sends ${length} bytes at ${at}, having reserved ${this.#reserved} at ${OUTGOING}`)
    this.#reserved = 0
    const { view, bytes } = this.slab
    this.#route(at, socket)
    if (wireLength(view, at, length) > this.mtu) throw new Error(`does not fit an MTU of ${this.mtu}: ${describePacket(bytes.subarray(at, at + length))}`)
    const handed = { bytes: bytes.slice(at, at + length), vnet: vnetAt(view, at) }
    this.#egress.push(at, length, 0)
    this.#egress.flush()
    this.#scratch.reset()
    const wire = this.#wire.takeSent()
    const problems = [handed, ...wire].flatMap((packet: Pick<SentPacket, 'bytes' | 'vnet'>) => checkPacket(packet.bytes, packet.vnet).map((text) => `${text}: ${describePacket(packet.bytes)}`))
    if (problems.length > 0) throw new Error(problems.join('\n'))
    this.onSend({ socket, ...handed, wire: wire.map((packet) => packet.bytes) })
  }

  #route(at: number, socket: number): void {
    const { view } = this.slab
    if (ipv4.source(view, at) === 0) changeSource(view, at, this.addresses[0]!)
    if (socket === NO_SOCKET) return
    const source = ipv4.source(view, at)
    const mtu = this.pathMtu
    const ports = view.getUint32(at + ipv4.headerLength(view, at))
    const told = [source, mtu, ipv4.destination(view, at), ports].join()
    if (this.#told.get(socket) === told) return
    this.#told.set(socket, told)
    this.#untold.push(() => this.user.path(socket, source, mtu))
  }

  /** Tells the stack what was decided for packets sent. */
  tell(): void {
    for (const tell of this.#untold.splice(0)) tell()
  }

  /** Gives packets to the stack, which answers when it has got them all. */
  receive(packets: readonly { readonly bytes: Uint8Array; readonly vnet?: Partial<VnetHeader> }[], arrival: Partial<Arrival> = {}): void {
    this.tell()
    for (const packet of packets) {
      this.slab.bytes.fill(0, INCOMING - HEADROOM, INCOMING)
      this.slab.bytes.set(packet.bytes, INCOMING)
      writeVnet(this.slab.view, INCOMING - vnet.LENGTH, packet.vnet ?? {})
      this.user.receive(this.slab, INCOMING, packet.bytes.length, { socket: NO_SOCKET, originalAddress: 0, originalPort: -1, interface: 2, mark: 0, ...arrival })
      this.slab.bytes.fill(0x5a, INCOMING, INCOMING + packet.bytes.length)
    }
    this.user.settle()
    this.tell()
  }

  /** Packets sent in vain can be sent again. */
  makeRoom(): void {
    this.isFull = false
    this.user.room()
  }
}

