/**
 * The only file that loads the native addon. Everything in C is mechanism: open, ioctl, poll, batched read and write,
 * namespaces, bulk checksum. No decision on a packet is taken there.
 *
 * Failures of set-up calls are thrown as `Error` with `code` ('EPERM'), `errno` (positive) and `syscall` set.
 * The calls of the hot path (`readClock`, `poll`, `readBatch`, `writeBatch`) never throw for what the network does.
 */
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ExitCode, TsnatError } from './errors.js'

/** Index into the result columns of {@link NativeAddon.writeBatch}. */
export const WRITE_SENT = 0
export const WRITE_FAILED = 1
/** errno of the last failed write of the batch; 0 when all went out. */
export const WRITE_ERRNO = 2

/** Settings of {@link NativeAddon.interfaceGet} and {@link NativeAddon.interfaceSet}: IFF_* flags, low 16 bits. */
export const INTERFACE_FLAGS = 0
/** Bytes. */
export const INTERFACE_MTU = 1
/** Packets that wait for the device (txqueuelen). */
export const INTERFACE_QUEUE = 2
/** The first IPv4 address, int32. Setting it replaces that one, with a mask of 32 bits on a TUN; 0 takes it away. */
export const INTERFACE_ADDRESS = 3
/** Its netmask, int32. */
export const INTERFACE_NETMASK = 4

export interface TunOpened {
  fd: number
  /** The name the kernel gave (differs from the asked one for patterns like `tun%d`). */
  name: string
  /** TUN_F_* flags that the kernel accepted; 0 without IFF_VNET_HDR or when it refused all. */
  offloads: number
}

export interface NativeAddon {
  /**
   * Opens /dev/net/tun in the calling thread's network namespace: IFF_TUN|IFF_NO_PI, non-persistent, O_NONBLOCK|O_CLOEXEC.
   * @param vnetHeader open with IFF_VNET_HDR (header of 10 bytes).
   * @param offloads TUN_F_* wanted, one mask a try: the first that TUNSETOFFLOAD accepts is kept and returned.
   */
  tunOpen(name: string, vnetHeader: boolean, offloads: readonly number[]): TunOpened
  /**
   * Opens an AF_PACKET socket bound to (ETH_P_ALL, ifindex), non-blocking, close-on-exec. Options: PACKET_IGNORE_OUTGOING,
   * SO_RCVBUFFORCE/SO_SNDBUFFORCE (falls back to the unforced ones), PACKET_VNET_HDR when asked.
   * The filter is attached before the bind, so that no unfiltered packet is ever queued.
   * What is sent goes through the interface's queueing discipline, where the kernel does in software what the interface
   * cannot: it cuts superpackets and completes checksums (NEEDS_CSUM).
   * @param cooked SOCK_DGRAM instead of SOCK_RAW: link headers are cut off and made by the kernel. Needed only where link
   *   headers exist that are not Ethernet; an interface without any (TUN, WireGuard) gives bare IP on SOCK_RAW too, and
   *   with SOCK_DGRAM the kernel refuses `vnetHeader` (EINVAL)
   * @param filter classic BPF, 8 bytes an instruction (struct sock_filter as the machine has it)
   * @throws ENOPROTOOPT etc. when `vnetHeader` is asked and refused
   */
  packetOpen(ifindex: number, cooked: boolean, vnetHeader: boolean, filter: Uint8Array, bufferBytes: number): number
  /** Replaces the socket filter of a packet socket (SO_ATTACH_FILTER). */
  packetSetFilter(fd: number, filter: Uint8Array): void
  /** Drops counted by the kernel on a packet socket since the last call (PACKET_STATISTICS). */
  packetDrops(fd: number): number
  /**
   * Writes the hardware address of a packet socket's interface to `mac`, as much of it as there is room for.
   * @returns ARPHRD_*: 1 for Ethernet
   */
  packetHardware(fd: number, mac: Uint8Array): number
  /**
   * A non-blocking TCP socket, close-on-exec, that is not connected yet: bound to an interface and to a source address (int32), not
   * to a port. It stays in the network namespace of the calling thread.
   * @throws EADDRNOTAVAIL when the kernel does not have the address. An interface that is gone shows at connect(2), as ENODEV
   */
  streamOpen(ifindex: number, source: number): number
  close(fd: number): void
  /** eventfd(0, EFD_NONBLOCK|EFD_CLOEXEC), to interrupt `poll` from another thread. */
  eventOpen(): number
  /** Adds 1 to an eventfd. Callable from any thread. */
  eventSignal(fd: number): void
  /** Resets an eventfd to 0. */
  eventClear(fd: number): void
  /**
   * Writes CLOCK_MONOTONIC, in milliseconds and their fractions, to clock[0]. For the hot path: performance.now() returns its
   * number in an object made for it.
   */
  readClock(clock: Float64Array): void
  /**
   * ppoll for POLLIN over fds (negative entries are skipped).
   * @param ready out: revents of each fd
   * @param timeoutMicroseconds -1 waits for ever
   * @returns how many are ready, 0 at timeout or EINTR, else -errno
   */
  poll(fds: Int32Array, ready: Int32Array, timeoutMicroseconds: number): number
  /**
   * Reads packets until EAGAIN, `max`, or until fewer than `64 + 65535` bytes remain before `end`.
   * Each packet's IP header lies at an address `at[i]`, a multiple of 64 counted from the slab's start, at least 64 beyond
   * the packet before it; the `before` bytes ahead of it hold what the descriptor delivers before the IP header
   * (10: virtio header of a TUN; 24: virtio and Ethernet header of a packet socket; 14; 0).
   * `length[i]` counts from the IP header (bytes read minus `before`; a shorter read gives 0).
   * Packets that the kernel discards because their offload has no word in the virtio header (EINVAL) are passed over. An
   * error behind the first packet ends the batch and is not told; where that matters, read with `max` 1.
   * @param socket read with recv instead of read
   * @param start first byte usable; @param end one past the last
   * @returns packets read, or -errno when the very first read fails with anything but EAGAIN; -EINVAL when the region does
   *   not lie inside the slab or `max` is beyond a column
   */
  readBatch(fd: number, socket: boolean, slab: Uint8Array, start: number, end: number, before: number, at: Int32Array, length: Int32Array, max: number): number
  /**
   * Writes packets `0 .. count-1`, each `before + length[i]` bytes from `at[i] - before`. A packet that fails is skipped;
   * result[WRITE_*] tells the sum. A packet that does not lie inside the slab counts as failed with EINVAL.
   * @param socket write with send instead of write
   * @param cookedInterface 0, or the interface's index for packet sockets where no Ethernet header names the protocol: each
   *   packet is then addressed to (that interface, ETH_P_IP)
   */
  writeBatch(fd: number, socket: boolean, slab: Uint8Array, before: number, at: Int32Array, length: Int32Array, count: number, result: Int32Array, cookedInterface: number): void
  /**
   * Copies source[from, from+length) to target[at, at+length); they may overlap. Many times faster than Uint8Array.set where threads share
   * the memory, slower for a few bytes: see stack/copy.ts.
   * @throws RangeError for a range that does not lie inside
   */
  copy(source: Uint8Array, from: number, length: number, target: Uint8Array, at: number): void
  /** One's-complement sum of big-endian 16-bit words of slab[start, start+length), folded to 16 bits, not complemented, added to `initial`. An odd tail is padded with zero. */
  checksum(slab: Uint8Array, start: number, length: number, initial: number): number

  /**
   * A non-blocking netlink socket in the calling thread's network namespace, member of the multicast `groups` (numbers, not
   * a mask). Read it with `readBatch(fd, true, …, before = 0)`: one "packet" is one datagram of messages, and -ENOBUFS says
   * that events were lost. (Package `netlink` aborts the process when that happens to a socket of its own.)
   */
  netlinkOpen(protocol: number, groups: Int32Array, bufferBytes: number): number

  /** open(path, O_RDONLY|O_CLOEXEC): for namespace files. */
  openPath(path: string): number
  /** setns(fd, CLONE_NEWNET) for the calling thread. */
  setNetworkNamespace(fd: number): void
  /** unshare(CLONE_NEWNET) for the calling thread. */
  unshareNetwork(): void
  /** if_nametoindex in the calling thread's namespace; 0 when there is none. */
  interfaceIndex(name: string): number
  /** A socket for `interfaceGet` and `interfaceSet`; it stays in the network namespace in which it was opened. */
  controlOpen(): number
  /**
   * Reads a setting of an interface. @param field one of INTERFACE_*
   * @throws ENODEV, and EADDRNOTAVAIL for the address or mask of an interface without
   */
  interfaceGet(control: number, name: string, field: number): number
  /** Changes a setting of an interface. @throws EPERM, ENODEV, EINVAL … */
  interfaceSet(control: number, name: string, field: number, value: number): void
  /**
   * Sends one datagram, at most 8191 bytes, to a Unix datagram socket; a leading '@' means the abstract namespace (sd_notify(3)).
   * @param wait for room in the receiver's queue; else EAGAIN is thrown when it is full
   */
  unixDatagram(path: string, message: string, wait: boolean): void
  /**
   * Two connected Unix sockets that keep messages apart: socketpair(AF_UNIX, SOCK_SEQPACKET), non-blocking, close-on-exec. What one
   * writes the other reads. Once one is closed, reading from the other gives empty messages, and writing fails with EPIPE.
   * @param bufferBytes SO_SNDBUF and SO_RCVBUF of both (SO_…FORCE where allowed); a message and the kernel's bookkeeping
   *   must fit. 0 leaves them as they are
   */
  socketPair(bufferBytes: number): [number, number]
  /**
   * Watches `fd` with a helper thread and calls `onReadable` on the event loop when it is readable. Edge: after each call
   * the watch sleeps until `rearm`. Used where a descriptor that libuv cannot poll must be read on the event loop.
   */
  watchOpen(fd: number, onReadable: () => void): object
  watchRearm(watch: object): void
  /** Whether the watch keeps the process alive; at first it does. */
  watchRef(watch: object, on: boolean): void
  /** Stops the thread; `onReadable` is not called again. Does not close the fd. */
  watchClose(watch: object): void
  /** CAP_* numbers in the effective set of this thread, as a bit mask (low 32 bits, then high). */
  capabilities(): [number, number]
}

/** Looks upwards for native/build/Release/tsnat.node: from src/ in tests, from dist/ or dist/chunks/ when built. */
const locate = (): string => {
  let folder = dirname(fileURLToPath(import.meta.url))
  for (;;) {
    const candidate = join(folder, 'native', 'build', 'Release', 'tsnat.node')
    if (existsSync(candidate)) return candidate
    const parent = dirname(folder)
    if (parent === folder) {
      throw new TsnatError('the native addon tsnat.node has not been built', {
        code: 'NATIVE_MISSING',
        hint: 'run "npm run build" (it needs a C compiler, make and python3; Debian: apt-get install build-essential python3)',
        exitCode: ExitCode.device,
      })
    }
    folder = parent
  }
}

let addon: NativeAddon | undefined

/** The addon, loaded at first use. */
export const native = (): NativeAddon => (addon ??= createRequire(import.meta.url)(locate()) as NativeAddon)
