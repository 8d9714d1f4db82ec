// The upload page as a whole: what is shown to whom, and whether there is a connection.
import { isOffered, offer } from "./choice.js";
import { $, button, element, quiet } from "./elements.js";
import { forget, list } from "./gallery.js";
import { notice, say } from "./notices.js";
import { close, open } from "./queue.js";
import { call, comeBack, enterWith, maySeeFiles, session, signIn, signOut } from "./session.js";
import { setup, text, why } from "./texts.js";

const canSignIn = setup.callback === location.origin + location.pathname ? setup.providers : [];

// Draws what depends on who is here.
function show() {
  const gate = setup.uploadsNeedToken && session === null;
  $("sign-in").hidden = !gate;
  $("add").hidden = gate || !isOffered();
  $("unfinished").hidden ||= gate;
  $("token-form").hidden = canSignIn.length > 0;
  const account = [];
  if (session) {
    account.push(element("span", { className: "quiet" }, session.name || text("signed_in")), button(text("sign_out"), () => (close(), signOut()), "link"));
  } else if (!gate && setup.filesNeedToken) {
    account.push(button(text("sign_in"), () => {
      $("sign-in").hidden = false;
      document.querySelector("#providers button, #token:not([hidden])").focus();
    }, "link"));
  }
  $("account").replaceChildren(...account);
  if (maySeeFiles()) return;
  forget();
  $("stored").hidden = gate;
}

async function begin() {
  notice("down");
  show();
  if (!$("sign-in").hidden) return;
  try {
    offer((await call("GET", "/purposes")).purposes);
  } catch (problem) {
    if (problem.status !== 401) {
      const title = text(navigator.onLine ? "down" : "you_are_offline");
      notice("down", { title, body: [quiet(problem.code === "network" ? text("down_why") : why(problem)), button(text("retry"), begin)], bad: true });
    }
    return;
  }
  show();
  open();
  if (maySeeFiles()) await list();
}

function connected() {
  if (navigator.onLine) {
    if ($("offline")) say(text("say_online"));
    notice("offline");
    if ($("down")) begin();
  } else {
    notice("offline", { title: text("you_are_offline"), body: [quiet(text("offline_why"))], name: "offline" });
  }
}

$("providers").append(...canSignIn.map((each) => button(text("sign_in_with", { name: { google: "Google", github: "GitHub" }[each] }), () => signIn(each), "button primary")));
$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  enterWith($("token").value);
  $("token").value = "";
  begin();
});
addEventListener("signedout", show);
addEventListener("offline", connected);
addEventListener("online", connected);

connected();
await comeBack();
await begin();
