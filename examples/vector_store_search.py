"""A vector store, searched by itself: passages and scores, without a run or a model."""

from openai import OpenAI

TEXTS = {
    "boats.md": (b"Boats are rented out from May to September, for 12 euros an hour.", "sea"),
    "rooms.md": (b"A room with a view of the lighthouse is 80 euros a night.", "land"),
    "food.md": (b"The kitchen is open until nine. Soup is 6 euros, fish is 14.", "land"),
}

client = OpenAI()

store = client.vector_stores.create(name="Port Marlo")
for name, (text, place) in TEXTS.items():
    file = client.files.create(file=(name, text), purpose="assistants")
    client.vector_stores.files.create_and_poll(vector_store_id=store.id, file_id=file.id, attributes={"place": place})

for found in client.vector_stores.search(store.id, query="How much are boats?", max_num_results=2):
    print(f"{found.score:.2f} {found.filename}: {found.content[0].text}")

# A filter holds, whatever the words are.
on_land = client.vector_stores.search(store.id, query="euros", filters={"type": "eq", "key": "place", "value": "land"})
print("on land:", ", ".join(sorted(found.filename for found in on_land)))
