/** The main thread's end of the data plane: starts the worker, sends it messages, and hears of its end. */
import { existsSync } from 'node:fs'
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads'
import { ExitCode, TsnatError } from '../errors.js'
import { native } from '../native.js'
import { buffersOf, PolicyLink } from './policy-link.js'
import type { FromWorker, ToWorker, WorkerSettings } from '../worker-protocol.js'

/** Milliseconds between two calls that let the worker's clock go on while no packets come. */
const TICK_MILLISECONDS = 500
/** How long the worker may take to end. Its loop turns at least twice a second. */
const STOP_MILLISECONDS = 3000

/** The bundle of the data plane, beside the other bundles in dist/, or in dist/ of the source tree. */
const workerUrl = (): URL => {
  const candidates = ['./worker.js', '../worker.js', '../../dist/worker.js'].map((path) => new URL(path, import.meta.url))
  const found = candidates.find((url) => existsSync(url))
  if (found === undefined) {
    throw new TsnatError('the data plane (dist/worker.js) has not been built', {
      code: 'WORKER_MISSING', hint: 'run "npm run build"', exitCode: ExitCode.device,
    })
  }
  return found
}
/**
 * Memory for young objects of the data plane. Packets make none; rule sets that are unpacked and compiled do, and most of these stay. With
 * Node's own 48 MB, packets would wait 10 ms when they are moved.
 */
const YOUNG_MEGABYTES = 3

export class WorkerLink {
  readonly #port: MessagePort
  readonly #worker: Worker
  readonly #wake: number
  readonly #deletions = new Map<number, (flows: Int32Array) => void>()
  #nextId = 1
  #hasEnded = false
  #hasClosedDevices = false
  /** Speaks of rules, sets and routes. */
  readonly policy = new PolicyLink((message) => this.send({ type: 'policy', message }, buffersOf(message)))
  /** Packets can flow. */
  readonly ready: Promise<void>
  /** The worker has ended: null in an orderly way, else why. */
  readonly ended: Promise<Error | null>

  /** @param listen hears what is not an answer */
  constructor(settings: Omit<WorkerSettings, 'wake'>, listen: (message: FromWorker) => void) {
    this.#wake = native().eventOpen()
    const { port1, port2 } = new MessageChannel()
    this.#port = port1
    const start = { settings: { ...settings, wake: this.#wake } satisfies WorkerSettings, port: port2 }
    this.#worker = new Worker(workerUrl(), {
      workerData: start, transferList: [port2], name: 'tsnat-data-plane', resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MEGABYTES },
    })
    const tick = setInterval(() => native().eventSignal(this.#wake), TICK_MILLISECONDS).unref()
    let isReady: () => void
    this.ready = new Promise((resolve) => (isReady = resolve))
    const hear = (message: FromWorker): void => {
      if (message.type === 'ready') isReady()
      else if (message.type === 'stopped') this.#hasClosedDevices = true
      else if (message.type === 'deleted') this.#deletions.get(message.id)?.(message.flows)
      else if (message.type === 'policy') this.policy.hear(message.message)
      else listen(message)
    }
    port1.on('message', hear)
    this.ended = new Promise((resolve) => {
      let failure: Error | null = null
      this.#worker.once('error', (cause) => {
        failure = new TsnatError(`the data plane has crashed: ${cause instanceof Error ? cause.message : String(cause)}`, {
          code: 'WORKER_CRASHED', hint: 'this is a bug in tsnat: please report it with the log', exitCode: ExitCode.bug, cause,
        })
      })
      this.#worker.once('exit', (code) => {
        this.#hasEnded = true
        clearInterval(tick)
        // Its last words may still lie in the port: the end of the thread is told by another way.
        for (let last = receiveMessageOnPort(port1); last !== undefined; last = receiveMessageOnPort(port1)) hear(last.message as FromWorker)
        port1.close()
        native().close(this.#wake)
        for (const answer of this.#deletions.values()) answer(new Int32Array(0))
        this.policy.end()
        resolve(failure ?? (this.#hasClosedDevices ? null : new TsnatError(`the data plane has ended with exit code ${code}`, {
          code: 'WORKER_ENDED', hint: 'see the log for what came before', exitCode: ExitCode.bug,
        })))
      })
    })
  }

  /** The worker has closed the descriptors that it was given. A crashed one has not. */
  get hasClosedDevices(): boolean {
    return this.#hasClosedDevices
  }

  /** Does nothing when the worker has ended. @param buffers go over to the worker instead of being copied */
  send(message: ToWorker, buffers: readonly ArrayBuffer[] = []): void {
    if (this.#hasEnded) return
    this.#port.postMessage(message, buffers)
    native().eventSignal(this.#wake)
  }

  /** Lets the worker look for what the sockets send. */
  wake(): void {
    if (!this.#hasEnded) native().eventSignal(this.#wake)
  }

  /** Ends the worker; when it does not heed the request, by force. Resolves when it has ended, with whether that took force. */
  async stop(): Promise<boolean> {
    let forced = false
    this.send({ type: 'stop' })
    const timer = setTimeout(() => {
      forced = true
      void this.#worker.terminate()
    }, STOP_MILLISECONDS)
    await this.ended
    clearTimeout(timer)
    return forced
  }

  /** Deletes flows given as pairs of index and generation; resolves with the pairs that were still there. */
  deleteFlows(flows: Int32Array): Promise<Int32Array> {
    if (this.#hasEnded) return Promise.resolve(new Int32Array(0))
    const id = this.#nextId++
    return new Promise((resolve) => {
      this.#deletions.set(id, (deleted) => {
        this.#deletions.delete(id)
        resolve(deleted)
      })
      this.send({ type: 'delete', id, flows })
    })
  }
}
