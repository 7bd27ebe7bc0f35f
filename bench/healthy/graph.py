"""Classifies small graphs with messages added up by index."""

import torch
import torch.nn as nn
import torch.nn.functional as F

NODE_FEATURES = 5
EDGE_FEATURES = 3
CLASSES = 4


class MessageLayer(nn.Module):
    def __init__(self, node_dim, edge_dim, out_dim):
        super().__init__()
        self.message = nn.Linear(node_dim + edge_dim, out_dim)
        self.update = nn.Linear(node_dim + out_dim, out_dim)

    def forward(self, x, edge_index, edge_attr):
        source, target = edge_index[0], edge_index[1]
        messages = torch.relu(self.message(torch.cat([x[source], edge_attr], dim=1)))
        gathered = torch.zeros(x.size(0), messages.size(1))
        gathered = gathered.index_add(0, target, messages)
        degree = torch.zeros(x.size(0)).index_add(0, target, torch.ones(target.size(0)))
        gathered = gathered / degree.clamp(min=1).unsqueeze(1)
        return torch.tanh(self.update(torch.cat([x, gathered], dim=1)))


class GraphNet(nn.Module):
    def __init__(self, hidden=16):
        super().__init__()
        self.layer1 = MessageLayer(NODE_FEATURES, EDGE_FEATURES, hidden)
        self.layer2 = MessageLayer(hidden, EDGE_FEATURES, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.readout = nn.Linear(hidden, CLASSES)

    def forward(self, graph):
        x = self.layer1(graph["x"], graph["edge_index"], graph["edge_attr"])
        x = x + self.layer2(x, graph["edge_index"], graph["edge_attr"])
        x = self.norm(x)
        pooled = torch.zeros(graph["count"], x.size(1)).index_add(0, graph["batch"], x)
        return self.readout(pooled)


def random_graph(generator, nodes):
    edges = nodes * 3
    return {
        "x": torch.randn(nodes, NODE_FEATURES, generator=generator),
        "edge_index": torch.randint(0, nodes, (2, edges), generator=generator),
        "edge_attr": torch.rand(edges, EDGE_FEATURES, generator=generator),
        "y": torch.randint(0, CLASSES, (1,), generator=generator),
    }


def merge(graphs):
    """Several graphs as one, whose parts are not connected."""
    offset, edge_indices, batch = 0, [], []
    for number, graph in enumerate(graphs):
        nodes = graph["x"].size(0)
        edge_indices.append(graph["edge_index"] + offset)
        batch.append(torch.full((nodes,), number, dtype=torch.long))
        offset += nodes
    return {
        "x": torch.cat([g["x"] for g in graphs], dim=0),
        "edge_index": torch.cat(edge_indices, dim=1),
        "edge_attr": torch.cat([g["edge_attr"] for g in graphs], dim=0),
        "batch": torch.cat(batch),
        "y": torch.cat([g["y"] for g in graphs]),
        "count": len(graphs),
    }


def main():
    torch.manual_seed(10)
    generator = torch.Generator().manual_seed(11)
    graphs = [random_graph(generator, 5 + i % 4) for i in range(24)]
    model = GraphNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(2):
        for start in range(0, len(graphs), 8):
            batch = merge(graphs[start : start + 8])
            loss = F.cross_entropy(model(batch), batch["y"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    print(f"loss {loss.item():.6f}")


if __name__ == "__main__":
    main()
