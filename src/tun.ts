/**
 * A TUN as a stream, for programs that want the packets of an interface and no gateway.
 *
 * Theory of operation
 *
 * The interface lives as long as the object: it appears with `new Tun()` and vanishes with `release()`, `destroy()`, or the
 * process. Each chunk is one IP packet, without any header before it; checksums are whole, and none is larger than the MTU.
 *
 * Reading. libuv cannot poll a TUN, so a watch (native/watch.c) tells when packets are there. Only as many are read as the
 * stream has room for, and the watch sleeps until the stream asks for more; what the program does not take in time waits in
 * the kernel, which drops packets when its queue (`queueLength`) is full. A program that never reads is not kept alive.
 *
 * Writing is done at once. The kernel has no queue in this direction, so a packet that it does not take is lost, as on any
 * link, and counted in `lost`; the stream goes on.
 *
 * Properties are read from the kernel and written to it at once, in the network namespace in which the TUN was made.
 */
import { Duplex } from 'node:stream'
import { ExitCode, TsnatError } from './errors.js'
import {
  INTERFACE_ADDRESS, INTERFACE_FLAGS, INTERFACE_MTU, INTERFACE_NETMASK, INTERFACE_QUEUE, native, WRITE_ERRNO, WRITE_FAILED,
} from './native.js'
import { formatPrefix, parsePrefix } from './stack/wire/address.js'

export interface TunOptions {
  /** Name of the interface to make; `%d` stands for the first free number. Default `tun%d`. */
  name?: string
  /** Packets that may wait in the stream, each way, before it says that it is full. Default 64. */
  highWaterMark?: number
}

const IFF_UP = 0x1
/** The interface behind a descriptor was deleted. */
const EBADFD = 77
const MTU_MIN = 68
const MTU_MAX = 65535
/** Room for one packet of any size, and many of the usual. */
const SLAB_BYTES = 256 << 10
/** Packets read at a time. */
const BATCH = 64

const errnoCode = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? 'unknown'

const OPEN_FAILURES: Record<string, { code: string; hint: string; exitCode: ExitCode }> = {
  ENOENT: {
    code: 'NO_TUN_DEVICE',
    hint: 'load the module (modprobe tun); in a container pass the device: --device /dev/net/tun',
    exitCode: ExitCode.device,
  },
  EACCES: {
    code: 'NO_TUN_DEVICE',
    hint: 'run as root, or as root once: chmod 666 /dev/net/tun; in a container allow the device: --device /dev/net/tun',
    exitCode: ExitCode.permission,
  },
  EPERM: {
    code: 'MISSING_CAPABILITY',
    hint: 'run as root or with CAP_NET_ADMIN; in a container: --cap-add NET_ADMIN --device /dev/net/tun',
    exitCode: ExitCode.permission,
  },
  EBUSY: {
    code: 'INTERFACE_IN_USE',
    hint: 'another program has this TUN open: choose another name, or "tun%d" for the first that is free',
    exitCode: ExitCode.device,
  },
  EINVAL: {
    code: 'INTERFACE_IN_USE',
    hint: 'an interface of this name exists and is no TUN: choose another name',
    exitCode: ExitCode.device,
  },
}

/** What went wrong when a TUN was opened, in words. */
export const openFailure = (name: string, cause: unknown): TsnatError => {
  const code = errnoCode(cause)
  const known = OPEN_FAILURES[code] ?? { code: 'TUN_OPEN', exitCode: ExitCode.device }
  return new TsnatError(`cannot make the TUN "${name}": ${code}`, { ...known, cause })
}

/** What went wrong when a setting of an interface was changed, in words. */
export const setFailure = (name: string, what: string, cause: unknown): TsnatError => {
  const code = errnoCode(cause)
  const denied = code === 'EPERM' || code === 'EACCES'
  const gone = code === 'ENODEV'
  return new TsnatError(`cannot set ${what} of "${name}": ${code}`, {
    code: denied ? 'MISSING_CAPABILITY' : gone ? 'INTERFACE_GONE' : 'TUN_SETTING',
    hint: denied ? 'run as root or with CAP_NET_ADMIN' : gone ? 'the interface was deleted or renamed: make a new one' : 'the kernel does not allow this value',
    exitCode: denied ? ExitCode.permission : ExitCode.device,
    cause,
  })
}

const invalid = (message: string, hint: string): TsnatError => new TsnatError(message, { code: 'TUN_VALUE', hint, exitCode: ExitCode.usage })

const requireName = (name: string): void => {
  if (/^[^/\s:]{1,15}$/.test(name) && Buffer.byteLength(name) <= 15 && name !== '.' && name !== '..') return
  throw invalid(`"${name}" is no interface name`, 'give 1 to 15 characters without "/", ":" and space, such as "tun7" or "tun%d"')
}

const requireInteger = (what: string, value: number, minimum: number, maximum: number): void => {
  if (Number.isInteger(value) && value >= minimum && value <= maximum) return
  throw invalid(`${what} is ${value}`, `give a whole number from ${minimum} to ${maximum}`)
}

export class Tun extends Duplex {
  /** As the kernel knows it. */
  readonly name: string
  /** Packets written that the kernel did not take: the interface was down, or the packet was no IP packet. */
  lost = 0
  readonly #native = native()
  readonly #fd: number
  readonly #control: number
  readonly #slab = new Uint8Array(SLAB_BYTES)
  readonly #at = new Int32Array(BATCH)
  readonly #length = new Int32Array(BATCH)
  readonly #result = new Int32Array(3)
  #watch: object | undefined

  /**
   * Makes the interface, down and without an address.
   * @throws TsnatError MISSING_CAPABILITY, NO_TUN_DEVICE, INTERFACE_IN_USE, TUN_VALUE
   */
  constructor({ name = 'tun%d', highWaterMark = BATCH }: TunOptions = {}) {
    requireName(name)
    super({ objectMode: true, highWaterMark, decodeStrings: false })
    this.#control = this.#native.controlOpen()
    try {
      const opened = this.#native.tunOpen(name, false, [])
      this.#fd = opened.fd
      this.name = opened.name
    } catch (cause) {
      this.#native.close(this.#control)
      throw openFailure(name, cause)
    }
  }

  /** Bytes, 68 to 65535; 1500 at first. */
  get mtu(): number {
    return this.#get('the MTU', INTERFACE_MTU)
  }

  set mtu(bytes: number) {
    requireInteger('the MTU', bytes, MTU_MIN, MTU_MAX)
    this.#set('the MTU', INTERFACE_MTU, bytes)
  }

  /** The kernel's address with prefix length, such as `10.1.2.1/24`; null when there is none. Setting it replaces the one before. */
  get ipv4(): string | null {
    try {
      const address = this.#native.interfaceGet(this.#open(), this.name, INTERFACE_ADDRESS)
      const mask = this.#native.interfaceGet(this.#control, this.name, INTERFACE_NETMASK)
      return formatPrefix(address, mask === 0 ? 0 : 32 - Math.log2(-mask))
    } catch (error) {
      if (errnoCode(error) === 'EADDRNOTAVAIL') return null
      throw error instanceof TsnatError ? error : this.#readFailure('the address', error)
    }
  }

  set ipv4(address: string | null) {
    if (address === null) {
      if (this.ipv4 !== null) this.#set('the address', INTERFACE_ADDRESS, 0)
      return
    }
    const prefix = parsePrefix(address)
    if (prefix === null || prefix.length === 0 || prefix.address === 0) {
      throw invalid(`"${address}" is no address with prefix length`, 'give an IPv4 address with prefix length, such as 10.1.2.1/24')
    }
    this.#set(`the address ${address}`, INTERFACE_ADDRESS, prefix.address)
    this.#set(`the address ${address}`, INTERFACE_NETMASK, prefix.mask)
  }

  /** Whether packets pass. False at first. */
  get isUp(): boolean {
    return (this.#get('the state', INTERFACE_FLAGS) & IFF_UP) !== 0
  }

  set isUp(up: boolean) {
    const flags = this.#get('the state', INTERFACE_FLAGS)
    this.#set('the state', INTERFACE_FLAGS, up ? flags | IFF_UP : flags & ~IFF_UP)
  }

  /** Packets that the kernel keeps for this program before it drops some (txqueuelen); 500 at first. */
  get queueLength(): number {
    return this.#get('the queue length', INTERFACE_QUEUE)
  }

  set queueLength(packets: number) {
    requireInteger('the queue length', packets, 0, 0x7fffffff)
    this.#set('the queue length', INTERFACE_QUEUE, packets)
  }

  /** Closes the stream; the interface is gone when this returns. */
  release(): void {
    this.destroy()
  }

  override _read(): void {
    if (this.#watch === undefined) this.#watch = this.#native.watchOpen(this.#fd, () => this.#receive())
    else this.#native.watchRearm(this.#watch)
  }

  override _write(packet: unknown, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (!(packet instanceof Uint8Array)) {
      done(new TypeError('a packet must be a Buffer or a Uint8Array'))
      return
    }
    this.#at[0] = 0
    this.#length[0] = packet.length
    this.#native.writeBatch(this.#fd, false, packet, 0, this.#at, this.#length, 1, this.#result, 0)
    this.lost += this.#result[WRITE_FAILED]!
    const gone = this.#result[WRITE_ERRNO] === EBADFD
    done(gone ? this.#goneError() : null)
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (this.#watch !== undefined) this.#native.watchClose(this.#watch)
    this.#native.close(this.#fd)
    this.#native.close(this.#control)
    done(error)
  }

  #receive(): void {
    const room = Math.max(1, Math.min(BATCH, this.readableHighWaterMark - this.readableLength))
    const count = this.#native.readBatch(this.#fd, false, this.#slab, 0, SLAB_BYTES, 0, this.#at, this.#length, room)
    if (count < 0) {
      this.destroy(this.#goneError())
      return
    }
    if (count === 0) this.#native.watchRearm(this.#watch!)
    // A listener may release the TUN, and write to it, in the midst of this.
    const packets = Array.from({ length: count }, (_, index) => {
      const at = this.#at[index]!
      return Buffer.from(this.#slab.subarray(at, at + this.#length[index]!))
    })
    for (const packet of packets) if (!this.destroyed) this.push(packet)
  }

  #goneError(): TsnatError {
    return new TsnatError(`the interface "${this.name}" is gone`, {
      code: 'INTERFACE_GONE',
      hint: 'somebody deleted it: make a new Tun',
      exitCode: ExitCode.device,
    })
  }

  /** The descriptor for settings. @throws TsnatError TUN_RELEASED */
  #open(): number {
    if (!this.destroyed) return this.#control
    throw new TsnatError(`the TUN "${this.name}" was released`, { code: 'TUN_RELEASED', hint: 'read and set its properties before release()' })
  }

  #get(what: string, field: number): number {
    const control = this.#open()
    try {
      return this.#native.interfaceGet(control, this.name, field)
    } catch (cause) {
      throw this.#readFailure(what, cause)
    }
  }

  #set(what: string, field: number, value: number): void {
    const control = this.#open()
    try {
      this.#native.interfaceSet(control, this.name, field, value)
    } catch (cause) {
      throw setFailure(this.name, what, cause)
    }
  }

  #readFailure(what: string, cause: unknown): TsnatError {
    return errnoCode(cause) === 'ENODEV'
      ? this.#goneError()
      : new TsnatError(`cannot read ${what} of "${this.name}": ${errnoCode(cause)}`, { code: 'TUN_SETTING', exitCode: ExitCode.device, cause })
  }
}
