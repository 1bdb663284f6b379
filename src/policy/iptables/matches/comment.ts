/** Says something to people; holds always. */
import type { MatchExtension } from '../extension.js'
import { value } from '../options.js'
import { parseText } from '../values.js'
import { quote } from '../words.js'

export const comment: MatchExtension<'comment'> = {
  name: 'comment',
  options: [value('comment')],
  parse: (given) => ({ module: 'comment', text: given.need('comment', (word) => parseText(word, 'the comment', 255)) }),
  save: ({ text }) => `--comment ${quote(text)}`,
  list: ({ text }) => `/* ${text} */`,
}
