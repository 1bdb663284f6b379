/**
 * The network of a stack that has a device for itself: own addresses, one MTU, and a loopback.
 *
 * Theory of operation
 *
 * Packets are built in one of two regions of the slab and stay there. Those for the device go out as a batch, at `flush` at the
 * latest. Those for the host itself wait in the region where they were built and are received at the next `pump`; what is built
 * meanwhile goes into the other region. A region is free again when the device has its packets and all for the host itself have been
 * received. Thus nothing on the loopback is copied or lost; while it is full there is no room, and `reserve` says so.
 *
 * What the user is told (`path`, `refused`) waits for `flush` too, so that it never comes in the midst of a `send`.
 *
 * Invariants. Between two calls the region that is not in use is empty. The scratch region, where datagrams are cut into fragments, is
 * empty whenever the egress is.
 *
 * Cost: what is sent is built once and copied by the device; fragments are copied once more.
 */
import { ExitCode, TsnatError } from '../../errors.js'
import { Batch, createSlab, PACKET_MAX, type Region, type Slab } from '../batch.js'
import { changeSource } from '../change-source.js'
import type { Device, Offloads } from '../device/device.js'
import { Egress } from '../egress.js'
import { Scratch } from '../scratch.js'
import { wireLength } from '../segment.js'
import * as ipv4 from '../wire/ipv4.js'
import * as vnet from '../wire/vnet.js'
import { type Arrival, type Network, type NetworkUser, NO_SOCKET } from './network.js'
import { isLoopback, OwnAddresses } from './own-addresses.js'

export interface DeviceNetworkOptions {
  device: Device
  /** Own addresses with the lengths of their networks' prefixes, `10.0.0.2/24`. The first is the source where no other is nearer. */
  addresses: readonly string[]
  /** Bytes, 68 … 65535. Default 1500. */
  mtu?: number
  /** By which number sockets know the device. Default 2; the loopback is 1. */
  interface?: number
}

const MTU_MIN = 68
const LOOPBACK_INTERFACE = 1
const DEVICE_INTERFACE = 2
const NO_PORT = -1
/** EMSGSIZE. */
const TOO_LONG = 90

const RECEIVE_BYTES = 512 << 10
/** Several superpackets, or some hundred segments. */
const BUILD_BYTES = 1 << 20
const BATCH = 256
/** Packets that wait on the loopback. */
const LOOPBACK_PACKETS = 2048

/** A place to build packets, and those of them that are for this host. */
class Workshop {
  readonly space: Scratch
  readonly here = new Batch(LOOPBACK_PACKETS)

  constructor(region: Region) {
    this.space = new Scratch(region)
  }
}

export class DeviceNetwork implements Network {
  readonly slab: Slab
  readonly mtu: number
  readonly offloads: Offloads
  readonly device: Device
  user: NetworkUser = NOBODY
  /** Called when something waits to be sent or received that no `pump` will see which is running now. */
  wake: () => void = () => {}
  /** Packets that came and were not for this host, or said that they came from it. */
  strays = 0
  /** Packets that were lost for want of room. */
  lost = 0
  readonly #own: OwnAddresses
  readonly #received: Batch
  readonly #receiveRegion: Region
  readonly #egress: Egress
  readonly #fragments: Scratch
  readonly #arrival: Arrival = { socket: NO_SOCKET, originalAddress: 0, originalPort: NO_PORT, interface: 0, mark: 0 }
  readonly #interface: number
  #current: Workshop
  #other: Workshop
  /** `reserve` had no room, and the user does not know yet that there is some. */
  #starved = false
  /** A region became free since then. */
  #freed = false
  #pumping = false
  #awake = false
  /** What the user is to be told: triples of socket, source and errno, of which one of the last two is 0. */
  #news: number[] = []

  /** @throws TsnatError NETWORK_ADDRESS, NETWORK_MTU */
  constructor({ device, addresses, mtu = 1500, interface: number = DEVICE_INTERFACE }: DeviceNetworkOptions) {
    if (!Number.isInteger(mtu) || mtu < MTU_MIN || mtu > PACKET_MAX) {
      throw new TsnatError(`an MTU of ${mtu} bytes`, { code: 'NETWORK_MTU', hint: `give ${MTU_MIN} to ${PACKET_MAX}`, exitCode: ExitCode.usage })
    }
    this.#own = new OwnAddresses(addresses)
    this.device = device
    this.mtu = mtu
    this.#interface = number
    this.offloads = { checksum: true, tcp: device.offloads.tcp, udp: device.offloads.udp }
    // The longest datagram in its shortest fragments, each with headroom and rounded up.
    const pieces = Math.ceil(PACKET_MAX / ((mtu - 60) & ~7)) + 1
    const fragmentBytes = pieces * ((mtu + 191) & ~63)
    this.slab = createSlab(RECEIVE_BYTES + 2 * BUILD_BYTES + fragmentBytes)
    let end = 0
    const region = (size: number): Region => ({ start: end, end: (end += size) })
    this.#receiveRegion = region(RECEIVE_BYTES)
    this.#current = new Workshop(region(BUILD_BYTES))
    this.#other = new Workshop(region(BUILD_BYTES))
    this.#fragments = new Scratch(region(fragmentBytes))
    this.#received = new Batch(BATCH)
    this.#egress = new Egress(this.slab, device, this.#fragments, Math.max(BATCH, pieces))
  }

  isLocal(address: number): boolean {
    return address === 0 || this.#own.isHere(address)
  }

  isBroadcast(address: number): boolean {
    return this.#own.isBroadcast(address)
  }

  reserve(length: number): number {
    let at = this.#current.space.take(length)
    if (at < 0 && this.#current.here.count === 0) {
      this.#send()
      at = this.#current.space.take(length)
    }
    if (at < 0) {
      this.#starved = true
      this.#freed = false
      this.#wakeUp()
      return at
    }
    vnet.clear(this.slab.view, at - vnet.LENGTH)
    return at
  }

  send(at: number, length: number, socket: number): void {
    const { view } = this.slab
    const destination = ipv4.destination(view, at)
    if (ipv4.source(view, at) === 0) this.#fillSource(at, this.#own.sourceFor(destination), socket)
    if (this.#own.isHere(destination)) {
      if (this.#current.here.full) this.lost++
      else this.#current.here.push(at, length, 0)
    } else if (length <= this.mtu || wireLength(view, at, length) <= this.mtu) {
      if (this.#egress.push(at, length, 0) !== 0) this.lost++
    } else if (ipv4.dontFragment(view, at)) {
      this.#news.push(socket, 0, TOO_LONG)
    } else {
      this.#egress.flush()
      this.#fragments.reset()
      if (this.#egress.pushFragmented(at, length, this.mtu, 0) !== 0) this.lost++
    }
    this.#wakeUp()
  }

  /**
   * Hands what has come to the user, has it answer, and sends that.
   * @returns how many packets there were: call it again as long as there are any; -errno when the device is gone
   */
  pump(): number {
    this.#pumping = true
    this.#awake = false
    try {
      this.#tell()
      const count = this.device.receive(this.slab, this.#receiveRegion, this.#received)
      const looped = this.#receiveLooped()
      for (let index = 0; index < this.#received.count; index++) this.#receive(this.#received.at[index]!, this.#received.length[index]!)
      this.user.settle()
      this.flush()
      return count < 0 ? count : count + looped
    } finally {
      // A program's own code may have thrown.
      this.#pumping = false
    }
  }

  /** Sends what waits to be sent. */
  flush(): void {
    this.#send()
    this.#tell()
    if (!this.#starved || !this.#freed) return
    this.#starved = false
    this.user.room()
    this.#send()
  }

  #wakeUp(): void {
    if (this.#pumping || this.#awake) return
    this.#awake = true
    this.wake()
  }

  #send(): void {
    this.#egress.flush()
    this.#fragments.reset()
    if (this.#current.here.count > 0) return
    this.#current.space.reset()
    this.#freed = true
    this.#awake = false
  }

  #tell(): void {
    if (this.#news.length === 0) return
    const news = this.#news
    this.#news = []
    for (let index = 0; index < news.length; index += 3) {
      const socket = news[index]!
      const errno = news[index + 2]!
      if (errno === 0) this.user.path(socket, news[index + 1]!, this.mtu)
      else this.user.refused(socket, errno)
    }
  }

  /** The kernel's choice of a source, where the socket left it open. */
  #fillSource(at: number, source: number, socket: number): void {
    changeSource(this.slab.view, at, source)
    if (socket !== NO_SOCKET) this.#news.push(socket, source, 0)
  }

  #receiveLooped(): number {
    const workshop = this.#current
    const { here, space } = workshop
    if (here.count === 0) return 0
    this.#egress.flush()
    this.#fragments.reset()
    this.#current = this.#other
    this.#other = workshop
    this.#freed = true
    this.#arrival.interface = LOOPBACK_INTERFACE
    for (let index = 0; index < here.count; index++) this.user.receive(this.slab, here.at[index]!, here.length[index]!, this.#arrival)
    const { count } = here
    here.clear()
    space.reset()
    return count
  }

  #receive(at: number, length: number): void {
    const { view } = this.slab
    if (length < ipv4.HEADER_MIN || !this.#isForHere(ipv4.source(view, at), ipv4.destination(view, at))) {
      this.strays++
      return
    }
    this.#arrival.interface = this.#interface
    this.user.receive(this.slab, at, length, this.#arrival)
  }

  /** From outside, nothing comes from or to 127.0.0.0/8 (RFC 1122 3.2.1.3), nor from an own address. */
  #isForHere(source: number, destination: number): boolean {
    if (!this.#own.has(destination) && !this.#own.isBroadcast(destination)) return false
    return !isLoopback(source) && !this.#own.has(source)
  }
}

/** Before a stack has taken its place. */
const NOBODY: NetworkUser = { receive: () => {}, settle: () => {}, path: () => {}, taken: () => {}, refused: () => {}, room: () => {} }
