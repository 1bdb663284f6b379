/**
 * A packet socket on the test's end of a link, in whatever namespace that is: sends IPv4 packets as they are given, and hands
 * over whole what comes in. ARP questions about the next hop are answered, as no kernel here has its address.
 */
import { native } from '../../../src/native.js'
import * as ipv4 from '../../../src/stack/wire/ipv4.js'
import * as checksum from '../../../src/stack/wire/checksum.js'
import type { LabNamespace } from '../../../src/testing/lab/index.js'

/** virtio header, Ethernet header. */
const VNET = 10
const ETHERNET = 14
const ETHERTYPE_IPV4 = 0x0800
const ETHERTYPE_ARP = 0x0806
const ARP_REQUEST = 1
const ARP_REPLY = 2
const NEEDS_CSUM = 1

const SOCKET_BUFFER = 64 << 20
const SLAB = 8 << 20
const STRIDE = 2048
/** Packets of one system call's worth. */
const BATCH = 256

const macBytes = (mac: string): Buffer => Buffer.from(mac.replaceAll(':', ''), 'hex')

export interface TapOptions {
  device: string
  /** Hardware addresses of this end and of the other; absent on an interface without Ethernet headers. */
  link?: { own: string; other: string }
}

export class Tap {
  readonly #fd: number
  readonly #index: number
  readonly #before: number
  readonly #own: Buffer
  readonly #other: Buffer
  readonly #slab = new Uint8Array(SLAB)
  readonly #at = new Int32Array(BATCH)
  readonly #length = new Int32Array(BATCH)
  readonly #result = new Int32Array(3)

  constructor(namespace: LabNamespace, { device, link }: TapOptions) {
    this.#index = namespace.index(device)
    this.#before = link === undefined ? VNET : VNET + ETHERNET
    this.#own = link === undefined ? Buffer.alloc(0) : macBytes(link.own)
    this.#other = link === undefined ? Buffer.alloc(0) : macBytes(link.other)
    this.#fd = namespace.inside(() => native().packetOpen(this.#index, false, true, new Uint8Array(0), SOCKET_BUFFER))
  }

  /** @throws Error when the kernel refuses one */
  send(packets: readonly Uint8Array[]): void {
    for (let done = 0; done < packets.length; done += BATCH) {
      this.#write(packets.slice(done, done + BATCH), ETHERTYPE_IPV4, this.#other)
    }
  }

  /** IPv4 packets that came in since the last call, checksums completed. @throws Error when the kernel had no room for some */
  receive(): Uint8Array[] {
    const found: Uint8Array[] = []
    for (;;) {
      const count = native().readBatch(this.#fd, true, this.#slab, 0, SLAB, this.#before, this.#at, this.#length, BATCH)
      for (let i = 0; i < count; i++) this.#take(this.#at[i]!, this.#length[i]!, found)
      if (count < BATCH) break
    }
    const lost = native().packetDrops(this.#fd)
    if (lost > 0) throw new Error(`the socket had no room for ${lost} packets`)
    return found
  }

  close(): void {
    native().close(this.#fd)
  }

  #take(at: number, length: number, found: Uint8Array[]): void {
    const view = new DataView(this.#slab.buffer)
    const ethertype = this.#before === VNET ? ETHERTYPE_IPV4 : view.getUint16(at - 2)
    if (ethertype === ETHERTYPE_ARP) this.#answer(this.#slab.slice(at, at + length))
    if (ethertype !== ETHERTYPE_IPV4 || length < ipv4.HEADER_MIN) return
    const packet = this.#slab.slice(at, at + Math.min(length, ipv4.totalLength(view, at)))
    if (this.#slab[at - this.#before]! & NEEDS_CSUM) completeChecksum(packet)
    found.push(packet)
  }

  #answer(question: Uint8Array): void {
    const view = new DataView(question.buffer)
    if (question.length < 28 || view.getUint16(6) !== ARP_REQUEST) return
    const answer = question.slice(0, 28)
    answer.set(Uint8Array.of(0, ARP_REPLY), 6)
    answer.set(this.#own, 8)
    answer.set(question.subarray(24, 28), 14)
    answer.set(question.subarray(8, 18), 18)
    this.#write([answer], ETHERTYPE_ARP, Buffer.from(question.subarray(8, 14)))
  }

  #write(packets: readonly Uint8Array[], ethertype: number, to: Buffer): void {
    const slab = new Uint8Array(packets.length * STRIDE)
    const at = new Int32Array(packets.length)
    const length = new Int32Array(packets.length)
    for (const [i, packet] of packets.entries()) {
      at[i] = i * STRIDE + 64
      length[i] = packet.length
      slab.set(packet, at[i])
      if (this.#before === VNET) continue
      slab.set(to, at[i]! - ETHERNET)
      slab.set(this.#own, at[i]! - 8)
      slab.set(Uint8Array.of(ethertype >>> 8, ethertype & 0xff), at[i]! - 2)
    }
    const addressed = this.#before === VNET ? this.#index : 0
    native().writeBatch(this.#fd, true, slab, this.#before, at, length, packets.length, this.#result, addressed)
    const [sent, failed, errno] = this.#result
    if (sent !== packets.length) throw new Error(`${failed} of ${packets.length} packets could not be sent: errno ${errno}`)
  }
}

/** Finishes a checksum whose field holds the sum of the pseudo header (VIRTIO_NET_HDR_F_NEEDS_CSUM). */
const completeChecksum = (packet: Uint8Array): void => {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length)
  const transport = ipv4.headerLength(view, 0)
  const field = transport + (ipv4.protocol(view, 0) === ipv4.PROTOCOL_TCP ? 16 : 6)
  view.setUint16(field, checksum.finish(checksum.sum(packet, transport, packet.length - transport, 0)))
}
