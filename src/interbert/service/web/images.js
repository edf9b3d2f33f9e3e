// Images: thumbnails of products, which may need the key, and images of shoppers, made smaller before they are sent.

import { apiBlob, chosenIndex } from "./api.js";
import { h } from "./dom.js";

const MOST_PIXELS = 1024;
const MOST_ENLARGED = 5;

/** The image of a product, loaded when it is near the window; a plain tile where there is none. */
export function productImage(productId, alt, imageId) {
  const image = h("img", { alt, class: "waiting", decoding: "async" });
  const path = imagePath(productId, imageId);
  nearby.set(image, path);
  observer.observe(image);
  return image;
}

/** Path of a product's image. */
export function imagePath(productId, imageId) {
  const params = new URLSearchParams();
  if (imageId !== undefined) params.set("image_id", imageId);
  if (chosenIndex()) params.set("index", chosenIndex());
  return `v1/products/${encodeURIComponent(productId)}/image?${params}`;
}

const nearby = new WeakMap();
const observer = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      observer.unobserve(target);
      load(target, nearby.get(target));
    }
  },
  { rootMargin: "400px" },
);

async function load(image, path) {
  try {
    const address = URL.createObjectURL(await apiBlob(path));
    image.onload = image.onerror = () => {
      URL.revokeObjectURL(address);
      image.style.maxWidth = `${MOST_ENLARGED * image.naturalWidth}px`;
    };
    image.src = address;
    image.classList.remove("waiting");
  } catch {
    image.classList.replace("waiting", "missing"); // its text stays
  }
}

/** A shopper's image, at most 1024 pixels a side, without what the camera wrote into it. */
export async function prepared(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    return file; // the service says whether it can be read
  }
  const scale = Math.min(1, MOST_PIXELS / Math.max(bitmap.width, bitmap.height));
  const pixels = (side) => Math.max(1, Math.round(side * scale));
  const canvas = h("canvas", { width: pixels(bitmap.width), height: pixels(bitmap.height) });
  const context = canvas.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob((blob) => resolve(blob ?? file), "image/jpeg", 0.9));
}

/** The first image among what was dropped or pasted, or null. */
export function imageAmong(transfer) {
  return [...(transfer?.files ?? [])].find((file) => file.type.startsWith("image/")) ?? null;
}
