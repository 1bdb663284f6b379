/**
 * The WAN over raw sockets (package raw-socket), for `--wan-driver raw`.
 *
 *     worker ─ TunDevice ═ socket pair ═ RawWan ─ send socket ─► the kernel routes, finds neighbours, sends
 *                                               ◄ sockets of ICMP, TCP, UDP ◄─ what the kernel receives for this host
 *
 * The package lives on the main thread, the data plane sleeps in poll(2) on a thread of its own. They are joined by a pair
 * of Unix sockets that keep packets apart. On it each packet has the virtio header of a TUN ahead of it: towards the worker
 * it tells what the kernel has left undone (raw-admit.ts), from the worker it is empty, since nobody behind a raw socket
 * would complete anything.
 *
 * Sending has a socket of its own, because the package lets receiving go first on a socket that does both. Packets are
 * read from the pair a batch at a time, and the next batch only when the last one was sent: what the network does not take
 * at once waits in the pair, and when that is full the worker's writes fail and are counted there.
 */
import { constants } from 'node:os'
import { ExitCode, TsnatError } from '../errors.js'
import { native, WRITE_ERRNO, WRITE_FAILED } from '../native.js'
import { HEADROOM, PACKET_MAX } from '../stack/batch.js'
import { NO_OFFLOADS } from '../stack/device/device.js'
import type { TunHandle } from '../stack/device/tun.js'
import { formatIpv4 } from '../stack/wire/address.js'
import * as ipv4 from '../stack/wire/ipv4.js'
import * as vnet from '../stack/wire/vnet.js'
import { unknownInterface } from './interface-error.js'
import { ownNamespace, type NetworkNamespace } from './namespace.js'
import type { PortSet } from './port-set.js'
import { Admission, Admit } from './raw-admit.js'
import { bindToDevice, openRawSocket, PROTOCOL_RAW, type RawSocket } from './raw-socket.js'

/** SO_MARK of everything that the raw driver sends: keeps it out of captured traffic, and past the guard. */
export const RAW_MARK = 0x74736e61

/** What the raw driver cannot do, in sentences for the user. */
export const RAW_LIMITS: readonly string[] = [
  'it is slower than packet sockets: each packet crosses two threads, and those of the host\'s own connections are looked at too',
  'nothing is offloaded: checksums are computed and TCP is cut into segments in software',
  'the kernel chooses route and neighbour of each packet, without regard to rules by source address; tsnat\'s own table only decides whether a route leaves by the WAN',
  'it works on addresses that the kernel has, not on an address of its own (--wan-address owned:…)',
  'fragments are put together by the kernel before they arrive, and a larger datagram is fragmented anew towards the LAN',
  'packets pass the input and output rules of the host\'s firewall like the host\'s own',
  'of protocols without ports it carries ICMP, GRE, ESP and those that are forwarded; pings cannot be forwarded',
  'UDP superpackets from a sender on the same machine are dropped, since their datagrams cannot be told apart',
]

/** Buffers of each socket and of the pair. */
const BUFFER_BYTES = 4 << 20
/** Packets taken from the pair at a time, and where they are kept until they are sent. */
const BATCH = 128
const SLAB_BYTES = 1 << 20
/** Destinations whose text is remembered. */
const TEXTS_MAX = 4096

export interface RawWanOptions {
  /** Interface that packets come from and go to. */
  readonly wan: string
  /** SO_MARK of what is sent. */
  readonly mark: number
  /** Addresses that flows may have, int32. Asked for each packet. */
  readonly addresses: () => readonly number[]
  /** Ports that flows may have. Asked for each packet. */
  readonly ports: () => PortSet
  /** Protocols without ports that are carried, besides ICMP. */
  readonly protocols: readonly number[]
  /** MTU of the WAN interface, in bytes. */
  readonly wanMtu: () => number
  /** MTU of the LAN: superpackets are marked to be cut so that they fit both. */
  readonly lanMtu: () => number
  /** Where the interface is; the own namespace when absent. */
  readonly namespace?: NetworkNamespace
  /** What went wrong with a socket. Single packets that could not be sent are only counted. */
  readonly onError: (error: Error) => void
}

export interface RawWanCounters {
  /** Packets handed to the data plane. */
  received: number
  sent: number
  /** Packets that the kernel refused to send; they are lost. */
  sendErrors: number
  /** Packets for the data plane that were lost here: corrupt, superpackets of UDP, or the pair was full. */
  dropped: number
  /** What was wrong with the latest packet lost in either direction. */
  lastError: string | null
}

export class RawWan {
  /** The worker's end of the pair, to be opened with TunDevice and closed by it. */
  readonly handle: TunHandle
  readonly counters: RawWanCounters = { received: 0, sent: 0, sendErrors: 0, dropped: 0, lastError: null }
  readonly #options: RawWanOptions
  readonly #native = native()
  readonly #sender: RawSocket
  readonly #receivers: readonly RawSocket[]
  readonly #end: number
  readonly #watch: object
  /** Of the interface that the sockets are bound to. */
  #ifindex: number
  /** Packets on their way out, `#pending` of them not yet sent. */
  readonly #slab = Buffer.alloc(SLAB_BYTES)
  readonly #slabView = new DataView(this.#slab.buffer, this.#slab.byteOffset, SLAB_BYTES)
  readonly #at = new Int32Array(BATCH)
  readonly #length = new Int32Array(BATCH)
  #pending = 0
  /** The packet that was received last. */
  readonly #incoming = new Uint8Array(HEADROOM + PACKET_MAX + 1)
  readonly #incomingAt = Int32Array.of(HEADROOM)
  readonly #incomingLength = new Int32Array(1)
  readonly #result = new Int32Array(3)
  readonly #admission: Admission
  readonly #texts = new Map<number, string>()
  #toldOfSuperpackets = false
  #closed = false

  private constructor(options: RawWanOptions, ifindex: number, sockets: RawSockets) {
    this.#options = options
    this.#ifindex = ifindex
    this.#admission = new Admission(options, this.#incoming)
    this.#sender = sockets.sender
    this.#receivers = sockets.receivers
    for (const socket of [this.#sender, ...this.#receivers]) socket.on('error', (error) => this.#fail(error))
    for (const socket of this.#receivers) socket.on('message', (packet) => this.#receive(packet))
    const [worker, main] = this.#native.socketPair(BUFFER_BYTES)
    this.handle = { fd: worker, name: 'raw', vnetHeader: true, offloads: NO_OFFLOADS }
    this.#end = main
    this.#watch = this.#native.watchOpen(main, () => this.#drain())
  }

  /** @throws TsnatError UNKNOWN_INTERFACE, RAW_SOCKET_MISSING, RAW_SOCKET_PERMISSION, RAW_SOCKET */
  static open(options: RawWanOptions): RawWan {
    const namespace = options.namespace ?? ownNamespace()
    const ifindex = namespace.run(() => native().interfaceIndex(options.wan))
    if (ifindex === 0) throw unknownInterface(options.wan, namespace)
    return new RawWan(options, ifindex, namespace.run(() => openSockets(options)))
  }

  /** Tells the index that the interface has now: the sockets are bound to it anew when it is another one. */
  follow(ifindex: number): void {
    if (ifindex === this.#ifindex || ifindex === 0) return
    try {
      for (const socket of [this.#sender, ...this.#receivers]) bindToDevice(socket, this.#options.wan)
      this.#ifindex = ifindex
    } catch (error) {
      // Gone again already: its return will be told.
      this.#fail(error instanceof Error ? error : new Error(String(error)))
    }
  }

  /** Closes everything but the worker's end. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#native.watchClose(this.#watch)
    closeAll([this.#sender, ...this.#receivers])
    this.#native.close(this.#end)
  }

  /** Takes packets from the data plane and hands them to the send socket, until there are none. */
  #drain(): void {
    const count = this.#native.readBatch(this.#end, true, this.#slab, 0, SLAB_BYTES, vnet.LENGTH, this.#at, this.#length, BATCH)
    // An empty message: the data plane has closed its end. It would be readable for ever.
    if (count > 0 && this.#length[0] === 0) return
    // It has closed its end before it has read all.
    if (count === -constants.errno.ECONNRESET) return
    if (count < 0) {
      this.#fail(new Error(`cannot read from the data plane: errno ${-count}`))
      return
    }
    if (count === 0) {
      this.#native.watchRearm(this.#watch)
      return
    }
    this.#pending = count
    for (let index = 0; index < count; index++) {
      const at = this.#at[index]!
      const destination = ipv4.destination(this.#slabView, at)
      this.#sender.send(this.#slab, at, this.#length[index]!, this.#text(destination), (error) => this.#sent(error, destination))
    }
  }

  #sent(error: Error | null, destination: number): void {
    if (this.#closed) return
    if (error === null) this.counters.sent++
    else {
      this.counters.sendErrors++
      this.counters.lastError = `cannot send to ${formatIpv4(destination)}: ${error.message}`
    }
    if (--this.#pending === 0) this.#drain()
  }

  #receive(packet: Buffer): void {
    if (this.#closed) return
    this.#incoming.set(packet, HEADROOM)
    const admit = this.#admission.judge(HEADROOM, packet.length)
    if (admit === Admit.other) return
    if (admit !== Admit.pass) {
      this.#lose(admit)
      return
    }
    this.#incomingLength[0] = packet.length
    this.#native.writeBatch(this.#end, true, this.#incoming, vnet.LENGTH, this.#incomingAt, this.#incomingLength, 1, this.#result, 0)
    if (this.#result[WRITE_FAILED] === 0) {
      this.counters.received++
      return
    }
    this.counters.dropped++
    this.counters.lastError = `the data plane takes no packet: errno ${this.#result[WRITE_ERRNO]}`
  }

  #lose(reason: Admit): void {
    const from = formatIpv4(ipv4.source(new DataView(this.#incoming.buffer), HEADROOM))
    this.counters.dropped++
    this.counters.lastError = reason === Admit.corrupt ? `corrupt packet from ${from}` : `UDP superpacket from ${from}`
    if (reason === Admit.corrupt || this.#toldOfSuperpackets) return
    this.#toldOfSuperpackets = true
    this.#fail(new TsnatError(`${from} sends UDP superpackets, whose datagrams a raw socket cannot tell apart: they are dropped`, {
      code: 'RAW_UDP_SUPERPACKET',
      hint: 'use --wan-driver packet, or have the sender do without UDP segmentation (ethtool -K INTERFACE tx-udp-segmentation off)',
      exitCode: ExitCode.device,
    }))
  }

  #fail(error: Error): void {
    if (!this.#closed) this.#options.onError(error)
  }

  #text(address: number): string {
    const known = this.#texts.get(address)
    if (known !== undefined) return known
    if (this.#texts.size >= TEXTS_MAX) this.#texts.clear()
    const text = formatIpv4(address)
    this.#texts.set(address, text)
    return text
  }
}

interface RawSockets {
  readonly sender: RawSocket
  readonly receivers: readonly RawSocket[]
}

const closeAll = (sockets: readonly RawSocket[]): void => {
  for (const socket of sockets) socket.close()
}

/** ICMP, and what has ports. */
const ALWAYS = [ipv4.PROTOCOL_ICMP, ipv4.PROTOCOL_TCP, ipv4.PROTOCOL_UDP, ipv4.PROTOCOL_UDPLITE, ipv4.PROTOCOL_SCTP]

/** Opens all sockets in the calling thread's namespace, or none. */
const openSockets = ({ wan: device, mark, protocols }: RawWanOptions): RawSockets => {
  const opened: RawSocket[] = []
  const open = (protocol: number): RawSocket => {
    const socket = openRawSocket({ protocol, device, mark, bufferBytes: BUFFER_BYTES })
    opened.push(socket)
    return socket
  }
  try {
    const receivers = [...ALWAYS, ...protocols].map(open)
    return { sender: open(PROTOCOL_RAW), receivers }
  } catch (error) {
    closeAll(opened)
    throw error
  }
}
