/** A stack that has a device for itself, and is driven by whoever has it (driver.ts, or a test that moves the clock). */
import { DeviceNetwork, type DeviceNetworkOptions } from './device-network.js'
import type { Driven, Driver } from './driver.js'
import { Stack, type StackOptions } from './stack.js'

export interface DeviceHostOptions extends DeviceNetworkOptions, Omit<StackOptions, 'network' | 'answersPings'> {}

export class DeviceHost implements Driven {
  readonly network: DeviceNetwork
  readonly stack: Stack

  /** @throws TsnatError NETWORK_ADDRESS, NETWORK_MTU */
  constructor(options: DeviceHostOptions) {
    this.network = new DeviceNetwork(options)
    this.stack = new Stack({ ...options, network: this.network, answersPings: true })
  }

  get next(): number {
    return this.stack.next
  }

  advance(now: number): void {
    this.stack.advance(now)
  }

  pump(): number {
    return this.network.pump()
  }

  /** From now on the driver is told when there is something to do. */
  useDriver(driver: Driver): void {
    this.network.wake = driver.wake
    this.stack.attend = driver.attend
    this.stack.onHold = () => driver.hold()
    this.stack.onRelease = () => driver.release()
  }

  /** Ends all connections with RST, and the device. */
  close(): void {
    this.stack.close()
    this.network.flush()
    this.network.device.close()
  }
}
