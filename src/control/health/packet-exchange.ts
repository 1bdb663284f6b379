/**
 * One question on a link and its answer, by a packet socket: open for as long as that takes, and not bothered by routes, reverse path
 * filters, or the firewall of the host.
 *
 * All of it runs on the main thread, one piece at a time, so all exchanges share one slab: its beginning holds what is being sent,
 * the rest what is being read.
 */
import { getSystemErrorName } from 'node:util'
import { native, WRITE_ERRNO, WRITE_FAILED } from '../../native.js'
import type { Mac } from '../../stack/wire/address.js'
import * as ethernet from '../../stack/wire/ethernet.js'
import { Missed } from './standing.js'
import type { ProbeLink } from './types.js'

const SLAB_BYTES = 1 << 18
/** Where what is sent begins, after the Ethernet header. */
const SEND_AT = 64
const READ_FROM = 512
const BATCH = 16
const SOCKET_BUFFER = 1 << 16
const HARDWARE_ETHERNET = 1

const view = new DataView(new ArrayBuffer(SLAB_BYTES))
const slab = new Uint8Array(view.buffer)
const at = new Int32Array(BATCH)
const length = new Int32Array(BATCH)
const sendAt = Int32Array.of(SEND_AT)
const sendLength = new Int32Array(1)
const result = new Int32Array(3)

/** What was heard: `at` is the address of the IPv4 header or the ARP packet. Valid during the call only. */
export type Listener<T> = (view: DataView, at: number, length: number, etherType: number) => T | undefined

export class PacketPort {
  /** The interface's own address; null where frames have no Ethernet header. */
  readonly mac: Mac | null
  readonly #fd: number
  readonly #ifindex: number

  /** @throws Error with `code` EPERM, ENODEV, ENXIO */
  constructor(link: ProbeLink, ifindex: number, filter: Uint8Array) {
    this.#ifindex = ifindex
    this.#fd = link.namespace.run(() => native().packetOpen(ifindex, false, false, filter, SOCKET_BUFFER))
    const address = new DataView(new ArrayBuffer(6))
    const isEthernet = native().packetHardware(this.#fd, new Uint8Array(address.buffer)) === HARDWARE_ETHERNET
    this.mac = isEthernet ? { high: address.getUint16(0), low: address.getInt32(2) } : null
  }

  /**
   * Sends what `write` puts there.
   * @param write gets the address to write to, after the Ethernet header, and returns how many bytes it wrote, at most 256
   * @throws Missed when it cannot be sent
   */
  send(to: Mac, etherType: number, write: (view: DataView, at: number) => number): void {
    sendLength[0] = write(view, SEND_AT)
    const before = this.mac === null ? 0 : ethernet.LENGTH
    if (this.mac !== null) ethernet.write(view, SEND_AT - ethernet.LENGTH, to.high, to.low, this.mac.high, this.mac.low, etherType)
    native().writeBatch(this.#fd, true, slab, before, sendAt, sendLength, 1, result, this.mac === null ? this.#ifindex : 0)
    if (result[WRITE_FAILED] !== 0) throw new Missed(`nothing can be sent: ${getSystemErrorName(-result[WRITE_ERRNO]!)}`)
  }

  /** Hands what was heard to the listener, until it returns something; that is returned. */
  read<T>(listener: Listener<T>): T | undefined {
    const before = this.mac === null ? 0 : ethernet.LENGTH
    const count = native().readBatch(this.#fd, true, slab, READ_FROM, SLAB_BYTES, before, at, length, BATCH)
    for (let index = 0; index < count; index++) {
      const etherType = this.mac === null ? ethernet.TYPE_IPV4 : ethernet.type(view, at[index]! - ethernet.LENGTH)
      const found = listener(view, at[index]!, length[index]!, etherType)
      if (found !== undefined) return found
    }
    return undefined
  }

  /** Calls back whenever there is something to read. @returns what ends that */
  watch(onReadable: () => void): () => void {
    const watch = native().watchOpen(this.#fd, () => {
      onReadable()
      native().watchRearm(watch)
    })
    return () => native().watchClose(watch)
  }

  close(): void {
    native().close(this.#fd)
  }
}

/**
 * Sends, then listens. Closes the port in the end.
 * @param begin sends the question
 * @param listener returns the answer when it is that
 * @returns the answer; null when the signal is aborted before
 * @throws what opening and sending throw
 */
export const exchange = async <T extends object>(port: PacketPort, signal: AbortSignal, begin: () => void, listener: Listener<T>): Promise<T | null> => {
  let end = (): void => {}
  let aborted = (): void => {}
  try {
    return await new Promise<T | null>((resolve) => {
      if (signal.aborted) return resolve(null)
      aborted = () => resolve(null)
      signal.addEventListener('abort', aborted)
      end = port.watch(() => {
        const found = port.read(listener)
        if (found !== undefined) resolve(found)
      })
      begin()
    })
  } finally {
    signal.removeEventListener('abort', aborted)
    end()
    port.close()
  }
}
