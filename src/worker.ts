/**
 * The data plane's thread: a loop that never returns to Node's event loop. It sleeps in poll(2) on the two devices and an
 * eventfd by which the main thread calls; messages are then taken from the port by hand.
 */
import { performance } from 'node:perf_hooks'
import { type MessagePort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import type { Attachment } from './attachment.js'
import { DataPlane, type DataPlaneDevices } from './data-plane.js'
import { systemRandom } from './nat/random.js'
import { native } from './native.js'
import type { NeighbourTable } from './route/neighbours.js'
import { ARP_REGION, ArpEndpoint } from './stack/arp-endpoint.js'
import type { Region, Slab } from './stack/batch.js'
import { CaptureProducer } from './stack/device/capture-ring.js'
import type { Device } from './stack/device/device.js'
import { FaultDevice } from './stack/device/fault.js'
import { PacketDevice } from './stack/device/packet.js'
import { PcapDevice } from './stack/device/pcap.js'
import { TunDevice } from './stack/device/tun.js'
import { useBulkSum } from './stack/wire/checksum.js'
import { publishStats } from './publish-stats.js'
import { STAT_KERNEL_DROPS, STAT_WAN } from './stats.js'
import type { FaultSettings, FromWorker, ToWorker, WanHandle, WorkerSettings, WorkerStart } from './worker-protocol.js'

const CAPTURE_LAN = 0
const CAPTURE_WAN = 1
/** Bytes from which the native checksum is faster than the one in JavaScript, measured. */
const BULK_SUM_BYTES = 192
/** Sleep until something comes. The main thread wakes this one twice a second, so that no timer has to be set for each packet. */
const FOR_EVER = -1

const WAKE = 0
const LAN = 1
const WAN = 2

const wallClockMicroseconds = (): number => (performance.timeOrigin + performance.now()) * 1000

class Worker implements DataPlaneDevices {
  readonly #settings: WorkerSettings
  readonly #port: MessagePort
  readonly #plane: DataPlane
  readonly #native = native()
  readonly #fds = new Int32Array(3)
  readonly #ready = new Int32Array(3)
  readonly random = systemRandom()
  #lanTap!: PcapDevice
  #wanTap!: PcapDevice
  #wanExtra!: Region
  #arp: ArpEndpoint | null = null
  #kernelDropsFd = -1
  #kernelDropsAt = 0
  /** Milliseconds, as read this turn. */
  readonly #clock = new Float64Array(1)
  /** The same in whole ones: small integers cost no memory wherever they are handed to. */
  #now = 0
  /** Microseconds that the next turn may sleep. */
  #sleep = 0
  /** Milliseconds until which it does not sleep. */
  #busyUntil = 0.5
  /** Messages are left in the port: they are many, and packets come first. */
  #hasMessages = false
  #running = true

  constructor(settings: WorkerSettings, port: MessagePort) {
    this.#settings = settings
    this.#port = port
    this.#plane = new DataPlane(settings, this)
    this.#plane.policy.answer = (message) => this.#tell({ type: 'policy', message })
    this.#fds[WAKE] = settings.wake
    this.#fds[LAN] = this.#plane.pipeline.lan.device.fd
    this.#fds[WAN] = this.#plane.pipeline.wan.device.fd
  }

  get wanHasNeighbours(): boolean {
    const { wan } = this.#settings
    return wan.kind === 'packet' && wan.packet.mac !== null
  }

  lan(_slab: Slab, extra: Region): Device {
    this.#lanTap = new PcapDevice(new TunDevice(this.#settings.lan.tun), CAPTURE_LAN, wallClockMicroseconds)
    return withFaults(this.#lanTap, this.#settings.fault.lan, extra)
  }

  wan(slab: Slab, extra: Region, neighbours: NeighbourTable): Device {
    this.#wanExtra = extra
    return this.#openWan(this.#settings.wan, slab, neighbours)
  }

  ask(address: number): void {
    if (this.#arp !== null) this.#arp.ask(address, this.#now)
    else this.#tell({ type: 'ask', address })
  }

  run(): void {
    const { pipeline, policy } = this.#plane
    policy.environment.zoneSeconds = new Date().getTimezoneOffset() * -60
    this.#tick()
    this.#takePolicy()
    this.#arp?.announce()
    this.#plane.askForGateways(this.#settings.wanSettings)
    this.#tell({ type: 'ready' })
    while (this.#running) this.#turn()
    this.#publish()
    pipeline.lan.device.close()
    pipeline.wan.device.close()
    this.#tell({ type: 'stopped' })
  }

  /** A function of its own, so that it is compiled for good, and its numbers stay off the heap: a turn leaves no garbage. */
  #turn(): void {
    const { pipeline } = this.#plane
    const woken = this.#native.poll(this.#fds, this.#ready, this.#sleep)
    const more = this.#tick()
    const exact = this.#clock[0]!
    if (woken > 0) {
      this.#busyUntil = exact + this.#settings.busyPoll / 1000
      if (this.#ready[LAN] !== 0) this.#pump(pipeline.lan, LAN)
      if (this.#ready[WAN] !== 0) this.#pump(pipeline.wan, WAN)
      if (this.#ready[WAKE] !== 0) {
        this.#native.eventClear(this.#settings.wake)
        this.#hasMessages = true
      }
    }
    if (this.#hasMessages) this.#takeMessages()
    const compiling = this.#plane.policy.step()
    this.#publish()
    this.#sleep = more || compiling || this.#hasMessages || exact < this.#busyUntil ? 0 : FOR_EVER
  }

  /** Reads the clock and does what is due. Returns true when more is due at once. */
  #tick(): boolean {
    this.#native.readClock(this.#clock)
    const now = Math.floor(this.#clock[0]!)
    if (Math.floor(now / 1000) !== Math.floor(this.#now / 1000)) this.#plane.policy.environment.wallOffset = Date.now() - now
    this.#now = now
    this.#arp?.tick(now)
    return this.#plane.pipeline.tick(now)
  }

  #publish(): void {
    publishStats(this.#settings.stats, this.#plane.pipeline)
    const second = Math.floor(this.#now / 1000)
    if (this.#kernelDropsFd < 0 || second === this.#kernelDropsAt) return
    this.#kernelDropsAt = second
    this.#settings.stats[STAT_WAN + STAT_KERNEL_DROPS]! += this.#native.packetDrops(this.#kernelDropsFd)
  }

  #tell(message: FromWorker): void {
    this.#port.postMessage(message)
  }

  #openWan(handle: WanHandle, slab: Slab, neighbours: NeighbourTable): Device {
    const { linkAddresses, fault } = this.#settings
    this.#arp = null
    this.#kernelDropsFd = -1
    let device: Device
    if (handle.kind === 'packet') {
      const packet = new PacketDevice(handle.packet, neighbours)
      this.#kernelDropsFd = packet.fd
      if (linkAddresses !== null && handle.packet.mac !== null) {
        const region = { start: this.#wanExtra.end - ARP_REGION * 2, end: this.#wanExtra.end }
        this.#arp = new ArpEndpoint(slab, region, packet, handle.packet.mac, linkAddresses, {
          onNeighbour: (address, high, low) => this.#plane.learnNeighbour(address, high, low),
          onSilence: (address) => this.#plane.failNeighbour(address, this.#now),
        })
      }
      device = packet
    } else {
      device = new TunDevice(handle.plain)
    }
    this.#wanTap = new PcapDevice(device, CAPTURE_WAN, wallClockMicroseconds)
    return withFaults(this.#wanTap, fault.wan, { start: this.#wanExtra.start, end: this.#wanExtra.end - ARP_REGION * 2 })
  }

  #pump(from: Attachment, index: number): void {
    const received = this.#plane.pipeline.pump(from)
    if (received >= 0) return
    const side = index === LAN ? 'lan' : 'wan'
    this.#tell({ type: 'device-lost', side, errno: -received })
    // A TUN does not come back under its descriptor: asking it again would spin. poll skips negative ones.
    if (index === LAN) this.#fds[LAN] = -1
  }

  /** Rules, sets and routes that are in effect from the first packet on. */
  #takePolicy(): void {
    const { policy } = this.#plane
    for (const message of this.#settings.policy.messages) policy.handle(message)
    while (policy.step());
  }

  /** Takes what has come; of what may be long, one piece a turn. */
  #takeMessages(): void {
    for (;;) {
      const received = receiveMessageOnPort(this.#port) as { message: ToWorker } | undefined
      this.#hasMessages = received !== undefined
      if (received === undefined) return
      this.#handle(received.message)
      if (received.message.type === 'policy') return
    }
  }

  #handle(message: ToWorker): void {
    const plane = this.#plane
    const { pipeline } = plane
    switch (message.type) {
      case 'wan':
        plane.setWan(message.settings)
        plane.askForGateways(message.settings)
        return
      case 'wan-device': {
        const device = this.#openWan(message.handle, plane.slab, plane.neighbours)
        pipeline.wan.replaceDevice(device)
        plane.neighbours.forgetAll()
        this.#fds[WAN] = device.fd
        this.#arp?.announce()
        return
      }
      case 'lan-mtu':
        pipeline.lan.mtu = message.mtu
        return
      case 'ports':
        plane.setPorts(message.ports, message.forwards)
        return
      case 'neighbour':
        if (message.mac === null) plane.failNeighbour(message.address, this.#now)
        else plane.learnNeighbour(message.address, message.mac.high, message.mac.low)
        return
      case 'delete':
        this.#tell({ type: 'deleted', id: message.id, flows: plane.closeFlows(message.flows) })
        return
      case 'capture': {
        const producer = message.ring === null ? undefined : new CaptureProducer(message.ring)
        this.#lanTap.sink = message.lan ? producer : undefined
        this.#wanTap.sink = message.wan ? producer : undefined
        return
      }
      case 'policy':
        plane.policy.handle(message.message)
        return
      case 'stop':
        this.#running = false
    }
  }
}

const withFaults = (device: Device, fault: FaultSettings | null, storage: Region): Device =>
  fault === null ? device : new FaultDevice(device, { ...fault, storage })

useBulkSum((bytes, at, length, initial) => native().checksum(bytes, at, length, initial), BULK_SUM_BYTES)
const { settings, port } = workerData as WorkerStart
new Worker(settings, port).run()
port.close()
