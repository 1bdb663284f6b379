/**
 * The kernel's own sockets in a laboratory's namespace, used step by step: a Python that runs what it is told and prints what came of it.
 *
 *     const kernel = new KernelSide(namespace)
 *     await kernel.run("s = create_connection(('10.9.0.2', 80)); s.recv(5)")     // 'hello'
 */
import { once } from 'node:events'
import type { LabNamespace } from '../../src/testing/lab/namespace.js'
import type { LabProcess } from '../../src/testing/lab/process.js'

/** The value of the last expression is the result; bytes become text of as many characters. */
const PROGRAM = `
import ast, errno, hashlib, json, os, struct, sys, time
from socket import *
names = dict(globals())
def text(value):
    return value.decode('latin1') if isinstance(value, (bytes, bytearray)) else str(value)
for line in sys.stdin:
    number, code = json.loads(line)
    try:
        body = ast.parse(code).body
        last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
        exec(compile(ast.Module(body, []), '<test>', 'exec'), names)
        value = None if last is None else eval(compile(ast.Expression(last.value), '<test>', 'eval'), names)
        answer = {'value': value}
    except OSError as error:
        answer = {'value': 'ETIMEDOUT' if isinstance(error, TimeoutError) else errno.errorcode.get(error.errno, str(error))}
    except Exception as error:
        answer = {'error': repr(error)}
    print(json.dumps([number, answer], default=text), flush=True)
`

export class KernelSide {
  readonly #process: LabProcess
  #rest = ''
  #count = 0
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>()

  constructor(namespace: LabNamespace) {
    this.#process = namespace.spawn('python3', ['-u', '-c', PROGRAM], { interactive: true })
    this.#process.child.stdout!.on('data', (text: string) => this.#read(text))
    void this.#process.done.then(() => {
      for (const { reject } of this.#waiting.values()) reject(this.#process.failure('ended'))
    })
  }

  /**
   * Runs Python code. Names stay from one time to the next; all of `socket` is there.
   * @returns the value of its last expression; the name of an OSError that it raised, `ECONNRESET`
   */
  run(code: string): Promise<unknown> {
    const number = this.#count++
    this.#process.write(`${JSON.stringify([number, code])}\n`)
    return new Promise((resolve, reject) => this.#waiting.set(number, { resolve, reject }))
  }

  /** The program ends, and so do its sockets. */
  async close(): Promise<void> {
    this.#process.kill()
    if (!this.#process.ended) await once(this.#process.child, 'close')
  }

  #read(text: string): void {
    const lines = (this.#rest + text).split('\n')
    this.#rest = lines.pop()!
    for (const line of lines) {
      const [number, answer] = JSON.parse(line) as [number, { value?: unknown; error?: string }]
      const { resolve, reject } = this.#waiting.get(number)!
      this.#waiting.delete(number)
      if (answer.error === undefined) resolve(answer.value)
      else reject(new Error(answer.error))
    }
  }
}
