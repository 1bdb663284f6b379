/** Stacks of their own for programs: over any device, or over a new TUN. */
import { systemRandom } from '../stack/random.js'
import { INTERFACE_ADDRESS, INTERFACE_FLAGS, INTERFACE_MTU, INTERFACE_NETMASK, native } from '../native.js'
import { ExitCode, TsnatError } from '../errors.js'
import { TunDevice, type TunHandle, openTun } from '../stack/device/tun.js'
import type { Device } from '../stack/device/device.js'
import { DeviceHost } from '../stack/sockets/device-host.js'
import { Driver } from '../stack/sockets/driver.js'
import { createSocketApi, type SocketApi } from '../stack/sockets/node/api.js'
import type { PortRange } from '../stack/port-range.js'
import { errnoCode } from '../stack/sockets/socket-error.js'
import type { Stack } from '../stack/sockets/stack.js'
import type { TcpSettings } from '../stack/sockets/tcp/settings.js'
import { parsePrefix } from '../stack/wire/address.js'
import { useBulkSum } from '../stack/wire/checksum.js'
import { openFailure, setFailure } from '../tun.js'

export interface StackSettings {
  /** Own addresses with the lengths of their networks' prefixes, `10.9.0.2/24`. */
  addresses: readonly string[]
  /** Bytes, 68 … 65535. Default 1500. */
  mtu?: number
  /** Sockets at most. Default 65536. */
  capacity?: number
  /** From which local ports are chosen. Default 1024-65535. */
  ports?: PortRange
  tcp?: Partial<TcpSettings>
}

export interface OpenStackOptions extends StackSettings {
  device: Device
}

export interface OpenTunStackOptions extends StackSettings {
  /** Name of the interface to make; `%d` stands for the first free number. Default `tun%d`. */
  name?: string
  /** The kernel's address on it with prefix length, `10.9.0.1/24`; the kernel then routes that network to the stack. Default: none. */
  hostAddress?: string
}

/** A stack that runs, and its sockets. */
export interface RunningStack extends SocketApi {
  readonly stack: Stack
  readonly device: Device
  /** Ends all connections with RST and closes the device. */
  close(): void
  /** Resolves when the device is gone or closed: with the error's name (`ENODEV`), or null after `close`. */
  readonly closed: Promise<string | null>
}

/** Bytes from which on the native checksum is the faster one. */
const BULK_SUM_BYTES = 192
const IFF_UP = 1

/** The stack takes the device for itself. The process stays alive while sockets are open. */
export const openStack = ({ device, ...settings }: OpenStackOptions): RunningStack => {
  useBulkSum(native().checksum, BULK_SUM_BYTES)
  const host = new DeviceHost({ ...settings, device, now: performance.now(), random: systemRandom() })
  let resolve: (reason: string | null) => void = () => {}
  const closed = new Promise<string | null>((done) => (resolve = done))
  const driver = new Driver(host, { fd: device.fd, onGone: (errno) => resolve(errnoCode(errno)) })
  host.useDriver(driver)
  const close = (): void => {
    driver.close()
    host.close()
    resolve(null)
  }
  return { ...createSocketApi(host.stack), stack: host.stack, device, close, closed }
}

const configure = (name: string, mtu: number, hostAddress: string | undefined): void => {
  const addon = native()
  const control = addon.controlOpen()
  const set = (what: string, field: number, value: number): void => {
    try {
      addon.interfaceSet(control, name, field, value)
    } catch (cause) {
      throw setFailure(name, what, cause)
    }
  }
  try {
    set('the MTU', INTERFACE_MTU, mtu)
    const prefix = hostAddress === undefined ? null : parsePrefix(hostAddress)
    if (prefix !== null) {
      set(`the address ${hostAddress}`, INTERFACE_ADDRESS, prefix.address)
      set(`the address ${hostAddress}`, INTERFACE_NETMASK, prefix.mask)
    }
    set('the state', INTERFACE_FLAGS, addon.interfaceGet(control, name, INTERFACE_FLAGS) | IFF_UP)
  } finally {
    addon.close(control)
  }
}

const open = (name: string): TunHandle => {
  try {
    return openTun(name, true)
  } catch (cause) {
    throw openFailure(name, cause)
  }
}

/**
 * Makes a TUN, up, with a stack at its other end. It is gone when the stack is closed.
 * @throws TsnatError MISSING_CAPABILITY, NO_TUN_DEVICE, INTERFACE_IN_USE, NETWORK_ADDRESS, NETWORK_MTU
 */
export const openTunStack = ({ name = 'tun%d', hostAddress, ...settings }: OpenTunStackOptions): RunningStack => {
  if (hostAddress !== undefined && parsePrefix(hostAddress) === null) {
    throw new TsnatError(`"${hostAddress}" is no address with prefix length`, {
      code: 'NETWORK_ADDRESS', hint: 'give one such as 10.9.0.1/24', exitCode: ExitCode.usage,
    })
  }
  const handle = open(name)
  try {
    configure(handle.name, settings.mtu ?? 1500, hostAddress)
    return openStack({ ...settings, device: new TunDevice(handle) })
  } catch (error) {
    native().close(handle.fd)
    throw error
  }
}
