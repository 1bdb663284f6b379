/** A stack that has a TUN for itself, in any namespace. */
import { randomInt } from 'node:crypto'
import { native } from '../../../src/native.js'
import { openTun, TunDevice } from '../../../src/stack/device/tun.js'
import { DeviceHost } from '../../../src/stack/sockets/device-host.js'
import { Driver } from '../../../src/stack/sockets/driver.js'
import { createSocketApi } from '../../../src/stack/sockets/node/api.js'
import { type Sockets, stackSockets } from './api.js'

export interface AloneOptions {
  /** Path of the namespace of the TUN, and the TUN's name there. */
  namespace: string
  device: string
  /** The stack's own, with the lengths of their networks' prefixes. */
  addresses: readonly string[]
  congestion?: 'cubic' | 'new-reno'
}

const inNamespace = <T>(path: string, work: () => T): T => {
  const home = native().openPath('/proc/thread-self/ns/net')
  const there = native().openPath(path)
  native().setNetworkNamespace(there)
  try {
    return work()
  } finally {
    native().setNetworkNamespace(home)
    native().close(there)
    native().close(home)
  }
}

export const openAlone = ({ namespace, device: name, addresses, congestion = 'cubic' }: AloneOptions): Sockets => {
  const device = new TunDevice(inNamespace(namespace, () => openTun(name, true)))
  const random = { next: () => randomInt(2 ** 32) }
  const host = new DeviceHost({ device, addresses, now: performance.now(), random, tcp: { congestion } })
  host.useDriver(new Driver(host, { fd: device.fd }))
  return stackSockets(createSocketApi(host.stack))
}
