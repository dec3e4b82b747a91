/* script.c: the page's one script: find and filter cases.
 *
 * It reads what stands on the page and hides or shows; it makes no markup from text, asks nothing of
 * the network, and keeps nothing. The tools that it drives are hidden until it runs. The page's
 * policy names this text by its hash (report__source_hash), so a script from anywhere else, an answer
 * that was not escaped say, does not run. */
#include <string.h>
#include "base/hash.h"
#include "report/report_internal.h"

/* clang-format off */
const char report__script[] =
    "'use strict';\n"
    "document.querySelectorAll('.find').forEach(function(box){\n"
    "  var cases=Array.prototype.slice.call(box.parentNode.querySelectorAll('details.case[data-tags]'));\n"
    "  var texts=[],timer=0;\n"
    "  var field=function(name){return box.querySelector('.find-'+name)};\n"
    "  var text=field('text'),arm=field('arm'),tag=field('tag'),met=field('met'),told=field('told');\n"
    "  function fits(c,i){\n"
    "    var words=text.value.toLowerCase().split(/\\s+/);\n"
    "    if(tag.value&&c.dataset.tags.indexOf('|'+tag.value+'|')<0)return false;\n"
    "    var good=!arm.value&&!met.value;\n"
    "    c.querySelectorAll('details.arm').forEach(function(a){\n"
    "      var mine=!arm.value||a.dataset.arm===arm.value;\n"
    "      a.hidden=!mine;\n"
    "      if(arm.value&&mine)a.open=true;\n"
    "      if(mine&&(!met.value||(met.value==='all'?+a.dataset.met>0&&+a.dataset.not+ +a.dataset.un===0\n"
    "        :+a.dataset[met.value]>0)))good=true;\n"
    "    });\n"
    "    if(!good)return false;\n"
    "    if(!text.value)return true;\n"
    "    if(texts[i]===undefined)texts[i]=c.textContent.toLowerCase();\n"
    "    return words.every(function(w){return texts[i].indexOf(w)>=0});\n"
    "  }\n"
    "  function apply(){\n"
    "    var n=0;\n"
    "    cases.forEach(function(c,i){var f=fits(c,i);c.hidden=!f;if(f)n++});\n"
    "    told.textContent=n+' of '+cases.length+(cases.length===1?' case':' cases');\n"
    "  }\n"
    "  text.addEventListener('input',function(){clearTimeout(timer);timer=setTimeout(apply,120)});\n"
    "  [arm,tag,met].forEach(function(s){s.addEventListener('change',apply)});\n"
    "  field('open').addEventListener('click',function(){\n"
    "    var shown=cases.filter(function(c){return !c.hidden});\n"
    "    var open=shown.some(function(c){return !c.open});\n"
    "    shown.forEach(function(c){c.open=open});\n"
    "  });\n"
    "  box.hidden=false;\n"
    "  apply();\n"
    "});\n";
/* clang-format on */

static void append_base64(char *out, const unsigned char *bytes, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i;
        unsigned three = (unsigned)bytes[i] << 16 | (left > 1 ? (unsigned)bytes[i + 1] << 8 : 0) |
                         (left > 2 ? bytes[i + 2] : 0);
        *out++ = digits[three >> 18];
        *out++ = digits[three >> 12 & 63];
        *out++ = left > 1 ? digits[three >> 6 & 63] : '=';
        *out++ = left > 2 ? digits[three & 63] : '=';
    }
    *out = '\0';
}

const char *report__source_hash(const char *text, char out[REPORT_SOURCE_BYTES])
{
    char hex[SLM_SHA256_HEX_BYTES];
    unsigned char bytes[SLM_SHA256_BYTES];
    slm_sha256_hex(text, strlen(text), hex);
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < sizeof bytes; i++) {
        size_t high = (size_t)(strchr(digits, hex[2 * i]) - digits);
        size_t low = (size_t)(strchr(digits, hex[2 * i + 1]) - digits);
        bytes[i] = (unsigned char)(high << 4 | low);
    }
    memcpy(out, "sha256-", 7);
    append_base64(out + 7, bytes, sizeof bytes);
    return out;
}
