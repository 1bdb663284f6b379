/**
 * A gateway host with several hosts on its LAN, beside the client of the {@link GatewayLab}:
 *
 *     noisy 172.16.0.2 ──┐
 *     quiet 172.16.0.3 ──┴─ br0 172.16.0.1 gateway eth0 203.0.113.1 ── 203.0.113.9 eth0 server
 *
 * To the gateway, `noisy` is the router of 172.24.0.0/13, where it forges its addresses; it throws away what comes back. SILENT is
 * an address of the server's, which never answers.
 */
import type { LabNamespace } from '../../src/testing/lab/index.js'
import { compile } from '../interop/support.js'
import { GatewayLab, REMOTE } from './gateway-support.js'

export const NOISY = '172.16.0.2'
export const QUIET = '172.16.0.3'
export const SILENT = '198.51.100.66'
/** Flags of `tsnat up`. */
export const CAPTURE = ['--capture', 'iif=br0'] as const

export class ManyHosts {
  readonly bed: GatewayLab
  readonly noisy: LabNamespace
  readonly quiet: LabNamespace
  #flood: string | undefined
  #strangers = 0

  private constructor(bed: GatewayLab, noisy: LabNamespace, quiet: LabNamespace) {
    this.bed = bed
    this.noisy = noisy
    this.quiet = quiet
  }

  static async create(): Promise<ManyHosts> {
    const bed = await GatewayLab.create()
    const { lab, gateway, server } = bed
    await bed.ip(gateway, 'link add br0 type bridge')
    await gateway.address('br0', '172.16.0.1/16')
    await gateway.up('br0')
    const host = async (name: string, address: string): Promise<LabNamespace> => {
      const made = await lab.namespace(name)
      await lab.link(made, { name: 'eth0', address: `${address}/16` }, gateway, { name })
      await bed.ip(gateway, `link set ${name} master br0`)
      await made.route('default', '172.16.0.1')
      return made
    }
    const made = new ManyHosts(bed, await host('noisy', NOISY), await host('quiet', QUIET))
    await gateway.carrier('br0')
    await gateway.route('172.24.0.0/13', NOISY)
    await bed.ip(server, `route add blackhole ${SILENT}`)
    return made
  }

  /** Gives `quiet` an address that it did not have before, as which it is a host that was never seen. */
  async stranger(): Promise<string> {
    const address = `172.16.1.${++this.#strangers}`
    await this.quiet.address('eth0', `${address}/16`)
    return address
  }

  /**
   * Sends first packets to SILENT, from `noisy`; resolves when it begins. flood.c has the meaning of the arguments.
   * @param source `172.24.0.0/13` to forge addresses, or one with /32
   */
  async flood(protocol: 'tcp' | 'udp', source: string, count: number, rate: number): Promise<Promise<unknown>> {
    const { lab, gateway } = this.bed
    this.#flood ??= compile('flood.c', lab.temporaryDirectory())
    const [address = '', length = ''] = source.split('/')
    const sender = this.noisy.spawn(this.#flood, ['eth0', gateway.mac('br0'), protocol, address, length, SILENT, '80', String(count), String(rate)])
    await sender.waitFor(/flooding/)
    return sender.done.then(({ code, stderr }) => {
      if (code !== 0) throw new Error(`flood ended with ${code}: ${stderr}`)
    })
  }
}

/** Sends a UDP datagram to port 7 of `process.argv[1]`, from the address `process.argv[2]`, and again each 300 ms; prints the error or the answer that comes back. */
const ASKER = `
  import { createSocket } from 'node:dgram'
  const socket = createSocket('udp4')
  const end = (word) => { console.log(word); process.exit() }
  socket.on('error', ({ code }) => end(code))
  socket.on('message', (data) => end(String(data)))
  socket.bind(0, process.argv[2], () => socket.connect(7, process.argv[1], () => {
    socket.send('word')
    setInterval(() => socket.send('word'), 300)
  }))`

/** Asks the echo service at REMOTE; resolves with `word`, or with the name of the error that came back. */
export const askUdp = async (where: LabNamespace, from = '0.0.0.0'): Promise<string> =>
  (await where.node(ASKER, [REMOTE, from]).finish({ timeout: 30_000, check: true })).stdout.trim()
