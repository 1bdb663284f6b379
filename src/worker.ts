/**
 * The data plane's thread: a loop that never returns to Node's event loop. It sleeps in poll(2) on the devices and an
 * eventfd by which the main thread calls; messages are then taken from the port by hand.
 */
import { performance } from 'node:perf_hooks'
import { type MessagePort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { type Attachment, ZONE_LAN, ZONE_WAN } from './attachment.js'
import { DataPlane, type DataPlaneDevices } from './data-plane.js'
import { systemRandom } from './stack/random.js'
import { native } from './native.js'
import { SocketPort } from './socket-port.js'
import { SocketTable } from './stack/sockets/socket-table.js'
import type { NeighbourTable } from './route/neighbours.js'
import type { Region, Slab } from './stack/batch.js'
import { CaptureProducer } from './stack/device/capture-ring.js'
import type { Device } from './stack/device/device.js'
import { PcapDevice } from './stack/device/pcap.js'
import { TunDevice } from './stack/device/tun.js'
import { useBulkSum } from './stack/wire/checksum.js'
import { publishStats } from './publish-stats.js'
import { SIDE_STATS, STAT_KERNEL_DROPS } from './stats.js'
import type { FromWorker, ToWorker, WorkerSettings, WorkerStart } from './worker-protocol.js'
import type { LiveTrace } from './trace/live.js'
import { withFaults, WorkerWan } from './worker-wan.js'

/** Bytes from which the native checksum is faster than the one in JavaScript, measured. */
const BULK_SUM_BYTES = 192
/** Sleep until something comes. The main thread wakes this one twice a second, so that no timer has to be set for each packet. */
const FOR_EVER = -1

/** Turns in which packets of the sockets are taken at the end: as many as their ring can hold of the shortest. */
const LAST_TURNS = 2048

/** Places among what is polled: the eventfd, then the attachments by zone. */
const WAKE = 0
const LAN = 1

const wallClockMicroseconds = (): number => (performance.timeOrigin + performance.now()) * 1000

class Worker implements DataPlaneDevices {
  readonly #settings: WorkerSettings
  readonly #port: MessagePort
  readonly #plane: DataPlane
  readonly #native = native()
  readonly #fds: Int32Array
  readonly #ready: Int32Array
  readonly random = systemRandom()
  #lanTap!: PcapDevice
  readonly #wans: readonly WorkerWan[]
  #sockets!: SocketPort
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
    this.#wans = settings.wans.map(({ linkAddresses }, index) => new WorkerWan({
      index, linkAddresses, fault: settings.fault.wan, wallClock: wallClockMicroseconds,
      listener: {
        onNeighbour: (address, high, low) => this.#plane.learnNeighbour(index, address, high, low),
        onSilence: (address) => this.#plane.failNeighbour(index, address, this.#now),
      },
    }))
    this.#plane = new DataPlane({ ...settings, sockets: new SocketTable(settings.sockets.table), socketPorts: settings.sockets.ports }, this)
    this.#plane.policy.answer = (message) => this.#tell({ type: 'policy', message })
    const { lan, wans } = this.#plane.pipeline
    this.#fds = Int32Array.from([settings.wake, lan.device.fd, ...wans.map(({ device }) => device.fd)])
    this.#ready = new Int32Array(this.#fds.length)
  }

  wanHasNeighbours(index: number): boolean {
    const { handle } = this.#settings.wans[index]!
    return handle.kind === 'packet' && handle.packet.mac !== null
  }

  lan(_slab: Slab, extra: Region): Device {
    this.#lanTap = new PcapDevice(new TunDevice(this.#settings.lan.tun), ZONE_LAN, wallClockMicroseconds)
    return withFaults(this.#lanTap, this.#settings.fault.lan, extra)
  }

  wan(index: number, slab: Slab, extra: Region, neighbours: NeighbourTable): Device {
    const wan = this.#wans[index]!
    wan.place(slab, extra, neighbours)
    return wan.open(this.#settings.wans[index]!.handle)
  }

  openDelivery(slab: Slab, region: Region): SocketPort {
    this.#sockets = new SocketPort(this.#settings.sockets.rings, slab, region)
    return this.#sockets
  }

  readClock(clock: Float64Array): void {
    this.#native.readClock(clock)
  }

  ask(index: number, address: number): void {
    const { arp } = this.#wans[index]!
    if (arp !== null) arp.ask(address, this.#now)
    else this.#tell({ type: 'ask', index, address })
  }

  run(): void {
    const { pipeline, policy } = this.#plane
    policy.environment.zoneSeconds = new Date().getTimezoneOffset() * -60
    this.#tick()
    this.#takePolicy()
    this.#settings.wans.forEach(({ settings }, index) => {
      this.#wans[index]!.arp?.announce()
      this.#plane.askForGateways(index, settings)
    })
    this.#tell({ type: 'ready' })
    while (this.#running) this.#turn()
    // What sockets have said at their end, above all that their connections are over.
    for (let turns = 0; turns < LAST_TURNS && this.#takeOwn(); turns++);
    this.#publish()
    pipeline.lan.device.close()
    for (const { device } of pipeline.wans) device.close()
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
      if (this.#ready[LAN] !== 0) this.#pump(pipeline.lan)
      for (let index = 0; index < pipeline.wans.length; index++) if (this.#ready[LAN + 1 + index] !== 0) this.#pump(pipeline.wans[index]!)
      if (this.#ready[WAKE] !== 0) {
        this.#native.eventClear(this.#settings.wake)
        this.#hasMessages = true
      }
    }
    if (this.#hasMessages) this.#takeMessages()
    const sending = this.#takeOwn()
    const { live } = this.#plane.tracing
    if (live !== null) this.#tellTraces(live)
    const compiling = this.#plane.policy.step()
    this.#publish()
    this.#sockets.wake()
    const isBusy = more || sending || compiling || this.#hasMessages || exact < this.#busyUntil
    this.#sleep = isBusy || !this.#sockets.maySleep() ? 0 : FOR_EVER
  }

  /** Sends what the sockets send. Returns whether there is more. */
  #takeOwn(): boolean {
    const sockets = this.#sockets
    if (!sockets.hasSome) return false
    const isMore = sockets.take(this.#plane.own!.send)
    this.#plane.pipeline.flush()
    return isMore
  }

  /** Reads the clock and does what is due. Returns true when more is due at once. */
  #tick(): boolean {
    this.#native.readClock(this.#clock)
    const now = Math.floor(this.#clock[0]!)
    if (Math.floor(now / 1000) !== Math.floor(this.#now / 1000)) this.#plane.policy.environment.wallOffset = Date.now() - now
    this.#now = now
    for (let index = 0; index < this.#wans.length; index++) this.#wans[index]!.arp?.tick(now)
    return this.#plane.pipeline.tick(now)
  }

  #publish(): void {
    publishStats(this.#settings.stats, this.#plane.pipeline)
    const second = Math.floor(this.#now / 1000)
    if (second === this.#kernelDropsAt) return
    this.#kernelDropsAt = second
    const { stats } = this.#settings
    for (const { zone } of this.#plane.pipeline.wans) stats[zone * SIDE_STATS + STAT_KERNEL_DROPS]! += this.#wans[zone - ZONE_WAN]!.takeKernelDrops()
  }

  #tell(message: FromWorker): void {
    this.#port.postMessage(message)
  }

  #pump(from: Attachment): void {
    const received = this.#plane.pipeline.pump(from)
    if (received >= 0) return
    this.#tell({ type: 'device-lost', zone: from.zone, errno: -received })
    // A TUN does not come back under its descriptor: asking it again would spin. poll skips negative ones.
    if (from.zone === ZONE_LAN) this.#fds[LAN] = -1
  }

  #tellTraces(live: LiveTrace): void {
    const batch = live.collect()
    if (batch !== null) this.#tell({ type: 'traces', batch })
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
        plane.setWan(message.index, message.settings)
        plane.askForGateways(message.index, message.settings)
        return
      case 'wan-device': {
        const wan = this.#wans[message.index]!
        const device = wan.open(message.handle)
        pipeline.wans[message.index]!.replaceDevice(device)
        wan.forgetNeighbours()
        this.#fds[LAN + 1 + message.index] = device.fd
        wan.arp?.announce()
        return
      }
      case 'lan-mtu':
        pipeline.lan.mtu = message.mtu
        return
      case 'ports':
        plane.nat.setPorts(message.ports, message.forwards)
        return
      case 'neighbour':
        if (message.mac === null) plane.failNeighbour(message.index, message.address, this.#now)
        else plane.learnNeighbour(message.index, message.address, message.mac.high, message.mac.low)
        return
      case 'delete':
        this.#tell({ type: 'deleted', id: message.id, flows: plane.nat.closeFlows(message.flows) })
        return
      case 'capture': {
        const producer = message.ring === null ? undefined : new CaptureProducer(message.ring)
        this.#lanTap.sink = message.zones.includes(ZONE_LAN) ? producer : undefined
        for (const { zone } of pipeline.wans) this.#wans[zone - ZONE_WAN]!.tap.sink = message.zones.includes(zone) ? producer : undefined
        return
      }
      case 'policy':
        plane.policy.handle(message.message)
        return
      case 'trace':
        this.#tell({ type: 'traced', id: message.id, trace: plane.explain(message.bytes, message.zone, message.mark, message.isNew) })
        return
      case 'trace-live':
        plane.traceLive(message.request)
        return
      case 'stop':
        this.#running = false
    }
  }
}

useBulkSum((bytes, at, length, initial) => native().checksum(bytes, at, length, initial), BULK_SUM_BYTES)
const { settings, port } = workerData as WorkerStart
new Worker(settings, port).run()
port.close()
