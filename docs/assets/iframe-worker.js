/* Browsers start no Worker from a page that was opened from disk. There, the search of the site runs in a hidden frame. */
;(() => {
  if (location.protocol !== "file:") return

  class FrameWorker extends EventTarget {
    constructor(url) {
      super()
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      this.frame.title = "Search"
      this.waiting = []
      const from = event => {
        if (event.source !== this.frame.contentWindow) return
        if (event.data && event.data.frameWorkerIsReady) {
          const waiting = this.waiting
          this.waiting = null
          waiting.forEach(message => this.postMessage(message))
        } else {
          this.dispatchEvent(new MessageEvent("message", { data: event.data }))
        }
      }
      addEventListener("message", from)
      this.stop = () => removeEventListener("message", from)
      const script = new URL(url, location.href).href.replace(/"/g, "%22")
      // What the worker posts goes to the page around the frame; what the page posts arrives as a message, as in a worker.
      this.frame.srcdoc = `<!doctype html><title>Search</title>
        <script>
          const toPage = window.parent
          window.postMessage = message => toPage.postMessage(message, "*")
          window.importScripts = () => {}
        </script>
        <script src="${script}"></script>
        <script>window.postMessage({ frameWorkerIsReady: true })</script>`
      document.body.append(this.frame)
    }

    postMessage(message) {
      if (this.waiting) this.waiting.push(message)
      else this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data: message }))
    }

    terminate() {
      this.stop()
      this.frame.remove()
    }
  }

  window.Worker = FrameWorker
})()
