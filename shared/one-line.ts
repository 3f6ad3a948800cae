/** What others wrote, as one line for people: without the characters that begin a line or that a terminal obeys. */
export function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]+/gu, ' ');
}
