/** The demo's processes: this program, started again in another namespace with `demo --as ROLE`. */
import { dns, download, http, seen, upload } from './client.js'
import { ping } from './ping.js'
import { serve } from './server.js'

const tasks = {
  ping: (address: string) => ping(address, 5),
  dns,
  http,
  seen,
  upload,
  download,
} satisfies Record<string, (address: string, seconds: number) => Promise<unknown>>

export type Task = keyof typeof tasks
export type TaskResult<T extends Task> = Awaited<ReturnType<(typeof tasks)[T]>>

export const roles: readonly string[] = ['server', ...Object.keys(tasks)]

/**
 * Plays one role. The server prints `serving` and stays; a task prints its result as one line of JSON.
 * @param address of the server
 * @param seconds of a bulk transfer
 */
export const play = async (role: string, address: string, seconds: number): Promise<void> => {
  if (role === 'server') {
    await serve()
    process.stdout.write('serving\n')
    // Until it is killed.
    return new Promise(() => {})
  }
  const result = await tasks[role as Task](address, seconds)
  process.stdout.write(`${JSON.stringify(result)}\n`)
}
