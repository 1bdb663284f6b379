/** dnsmasq with two names: one.example.test is 192.0.2.1, two.example.test 192.0.2.2. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'

export class Dnsmasq {
  readonly port: number
  readonly #child: ChildProcess

  private constructor(port: number, child: ChildProcess) {
    this.port = port
    this.#child = child
  }

  static async start(address: string, port: number): Promise<Dnsmasq> {
    const child = spawn('dnsmasq', [
      '--keep-in-foreground', '--log-facility=-', '--no-resolv', '--no-hosts', '--user=root', '--pid-file=', '--bind-interfaces', `--listen-address=${address}`, `--port=${port}`,
      '--address=/one.example.test/192.0.2.1', '--address=/two.example.test/192.0.2.2',
    ], { stdio: ['ignore', 'ignore', 'pipe'] })
    for await (const text of child.stderr) if (String(text).includes('started')) break
    return new Dnsmasq(port, child)
  }

  /** The bytes of a question for an address. */
  question(name: string): Buffer {
    const labels = name.split('.').map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]))
    return Buffer.concat([Buffer.from([0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]), ...labels, Buffer.from([0, 0, 1, 0, 1])])
  }

  async stop(): Promise<void> {
    const ended = once(this.#child, 'exit')
    this.#child.kill()
    await ended
  }
}
